package admin

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed assets
var assetFiles embed.FS

// An asset is a file that pages load. Its name has a hash of what is in it, so that
// browsers may keep it for ever.
type asset struct {
	contentType string
	body        []byte
}

var assetTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

// readAssets returns the assets by the names under which they are served. An accent is added
// to the style sheet, because pages may have no style of their own; empty: none is.
func readAssets(accent string) map[string]asset {
	list, err := assetFiles.ReadDir("assets")
	if err != nil {
		panic(err) // they are part of the program
	}
	assets := make(map[string]asset)
	for _, entry := range list {
		body, err := assetFiles.ReadFile("assets/" + entry.Name())
		if err != nil {
			panic(err)
		}
		ext := path.Ext(entry.Name())
		if ext == ".css" && accent != "" {
			body = append(body, accentStyle(accent)...)
		}
		sum := sha256.Sum256(body)
		name := strings.TrimSuffix(entry.Name(), ext) + "." + base64.RawURLEncoding.EncodeToString(sum[:6]) + ext
		assets[name] = asset{assetTypes[ext], body}
	}
	return assets
}

// assetNames returns the name under which each asset is served, by that of its file.
func assetNames(assets map[string]asset) map[string]string {
	names := make(map[string]string)
	for name := range assets {
		first, _, _ := strings.Cut(name, ".")
		names[first+path.Ext(name)] = name
	}
	return names
}

// serveAsset answers a request for an asset, for everybody, and reports whether it was one.
func (h *handler) serveAsset(w http.ResponseWriter, r *http.Request, rest string) bool {
	a, ok := h.assets[strings.TrimPrefix(rest, "/assets/")]
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	_, _ = w.Write(a.body)
	return true
}
