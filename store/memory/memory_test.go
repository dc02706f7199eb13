package memory_test

import (
	"testing"

	"example.com/hooks"
	"example.com/hooks/store/memory"
	"example.com/hooks/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) hooks.Store { return memory.New() })
}
