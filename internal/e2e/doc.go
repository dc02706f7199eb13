// Package e2e has the tests that need what the library itself never imports: a browser,
// routers, readers of OpenAPI. It is a module of its own, so that users get none of these.
//
// The browser is Debian's chromium, and axe-core comes from npm (`npm ci` in this
// directory). Where one of them is missing, its tests are skipped, except with CI=true.
package e2e
