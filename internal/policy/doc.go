// Package policy holds the tests of what the repository says about itself: which package
// may import which, that nothing but egress connects, that README.md shows a program that
// is built, that its command for adopting the library works, and that docs/guarantees.md
// names tests that exist.
package policy
