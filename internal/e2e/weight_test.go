package e2e_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

const (
	mostAssets   = 60 << 10 // bytes of all assets together
	mostTransfer = 20 << 10 // bytes of a page with all that it loads, gzipped
	mostRequests = 3        // of a page
)

var loads = regexp.MustCompile(`(?:src|<link rel="stylesheet" href)="([^"]+)"`)

// checkWeight fails the test if a page is too heavy, or loads something with a name that
// does not change when its content does.
func checkWeight(t *testing.T, w *world, path string) {
	t.Helper()
	body := fetch(t, w.url+path)
	whole, gzipped, requests := 0, zipped(t, body), 1
	for _, m := range loads.FindAllStringSubmatch(string(body), -1) {
		name := strings.TrimLeft(m[1], "./")
		if !regexp.MustCompile(`^assets/[a-z]+\.[A-Za-z0-9_-]{8}\.(css|js)$`).MatchString(name) {
			t.Errorf("%q loads %q; want an asset whose name has a hash", path, m[1])
		}
		a := fetch(t, w.url+name)
		whole += len(a)
		gzipped += zipped(t, a)
		requests++
	}
	if whole > mostAssets || gzipped > mostTransfer || requests > mostRequests {
		t.Errorf("%q: %d bytes of assets, %d bytes gzipped, %d requests; want at most %d, %d and %d",
			path, whole, gzipped, requests, mostAssets, mostTransfer, mostRequests)
	}
}

func fetch(t *testing.T, url string) []byte {
	t.Helper()
	response, err := http.Get(url)
	check(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(t, err)
	return body
}

func zipped(t *testing.T, body []byte) int {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(body)
	check(t, err)
	check(t, z.Close())
	return b.Len()
}
