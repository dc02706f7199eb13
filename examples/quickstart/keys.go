package main

import (
	"errors"
	"io/fs"
	"os"

	"example.com/hooks/keeper"
)

// readKeys returns what encrypts the receivers' secrets in the store, from a file
// that the first run makes. A real shop has it where its other secrets are, and not
// beside the database.
func readKeys(file string) (*keeper.Keys, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = makeKey(file)
	}
	if err != nil {
		return nil, err
	}
	return keeper.Parse(string(text))
}

func makeKey(file string) ([]byte, error) {
	key, err := keeper.NewKey("demo")
	if err != nil {
		return nil, err
	}
	text := []byte(key.Reveal() + "\n")
	return text, os.WriteFile(file, text, 0o600)
}
