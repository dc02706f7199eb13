package admin

func (c *call) overviewPage() error {
	return c.page(page{Name: "overview", Nav: "Overview", Title: "Overview", Live: true})
}
