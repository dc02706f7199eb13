package admin_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// A slowPut takes a while to store a record.
type slowPut struct{ hooks.Store }

func (s slowPut) Unwrap() hooks.Store { return s.Store }

func (s slowPut) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (int64, error) {
	time.Sleep(100 * time.Millisecond)
	return s.Store.Put(ctx, now, r, emit)
}

func TestOfTwoThatMakeAnEndpointAtOnceOneIsRefused(t *testing.T) {
	forms := map[string]string{
		"/api/v1/endpoints": `{"id":"new","tenant":"acme","url":"https://a.example.com/","events":["**"]}`,
		"/new-endpoint":     "made=ep_twice&scheme=v1&tenant=acme&url=https%3A%2F%2Fa.example.com%2F&events=**",
	}
	for path, body := range forms {
		synctest.Test(t, func(t *testing.T) {
			s := &site{access: operator}
			s.mount(t, newHooks(t, slowPut{memory.New()}), nil)
			var got [2]*httptest.ResponseRecorder
			var both sync.WaitGroup
			for i := range got {
				both.Go(func() { got[i] = s.do(t, "POST", path, body) })
			}
			synctest.Wait()
			both.Wait()
			codes := fmt.Sprint(got[0].Code, got[1].Code)
			secrets := strings.Count(got[0].Body.String()+got[1].Body.String(), "whsec_")
			if codes != "201 409" && codes != "409 201" && codes != "200 409" && codes != "409 200" || secrets == 0 {
				t.Errorf("two POST %s at once = %s; want one made and shown with its secret, and one 409", path, codes)
			}
		})
	}
}

// Another process is not kept out. Then the page must not speak of an import.
func TestPageOfAnEndpointThatAnotherProcessMadeAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		ours, theirs := newHooks(t, store), newHooks(t, store)
		s := &site{access: operator}
		s.mount(t, ours, nil)
		s.do(t, "GET", "/endpoints", "") // reads which there are
		kit.Put(t, theirs, hooks.Endpoint{ID: "new", Tenant: "acme", URL: "https://a.example.com/", Events: []string{"**"}})
		w := s.do(t, "POST", "/new-endpoint", "id=new&scheme=v1&tenant=acme&url=https%3A%2F%2Fa.example.com%2F&events=**")
		if body := w.Body.String(); w.Code != 200 || strings.Contains(body, "imported") || !strings.Contains(body, "Somebody made this endpoint at the same time") {
			t.Errorf("POST new-endpoint = %d %s; want that somebody else made it", w.Code, body)
		}
	})
}
