package s3_test

import (
	"io"
	"strings"

	"holdfast/storage"
)

func incoming(name, text string) storage.Incoming {
	return storage.Incoming{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
}
