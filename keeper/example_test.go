package keeper_test

import (
	"errors"
	"fmt"

	"example.com/hooks/keeper"
)

func ExampleParse() {
	// os.Getenv("HOOKS_KEYS")
	keys, err := keeper.Parse(`
		2026-11:9GzcZsqZ9tqQf5ZbV0kpmIuUqOIYp0YhY8VRKhw9mXI=
		2025-12:LbE2kKIiDwbMFZEXvuGyYnFpy4Nz8WgwcFlN0zOqsEk=
	`)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(keys)

	_, err = keeper.Parse("2026-11:dG9vIHNob3J0")
	fmt.Println(err)
	// Output:
	// keeper(2026-11, 2025-12)
	// keeper: invalid key: it holds 9 bytes, want 32 (key 1 of 1)
}

func ExampleNew() {
	old, _ := keeper.NewKey("2025-12") // fails for an invalid id only
	next, _ := keeper.NewKey("2026-11")
	before, err := keeper.New(old)
	if err != nil {
		fmt.Println(err)
		return
	}
	ciphertext, err := before.Encrypt([]byte("a secret"), []byte("endpoint crm"))
	if err != nil {
		fmt.Println(err)
		return
	}

	both, err := keeper.New(next, old)
	if err != nil {
		fmt.Println(err)
		return
	}
	plaintext, err := both.Decrypt(ciphertext, []byte("endpoint crm"))
	fmt.Printf("%s, %v, current: %t\n", plaintext, err, both.Current(ciphertext))

	after, err := keeper.New(next)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = after.Decrypt(ciphertext, []byte("endpoint crm"))
	fmt.Println(errors.Is(err, keeper.ErrUnknownKey), err)
	// Output:
	// a secret, <nil>, current: false
	// true keeper: unknown key: 2025-12 encrypted this, and is not in keeper(2026-11)
}
