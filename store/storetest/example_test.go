package storetest_test

import (
	"testing"

	"example.com/hooks"
	"example.com/hooks/store/memory"
	"example.com/hooks/store/storetest"
)

// A test of a store hands it over, and is done.
func ExampleRun() {
	_ = func(t *testing.T) { // func TestStore(t *testing.T)
		storetest.Run(t, func(t *testing.T) hooks.Store {
			s := memory.New() // yours
			t.Cleanup(func() { s.Close() })
			return s
		})
	}
}
