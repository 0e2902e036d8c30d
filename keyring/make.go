package keyring

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"holdfast"
	"holdfast/preserve"
	"holdfast/vault"
)

// LeftoverError is for what an init that was killed has left, and this one must not take
// up: a key of a rehearsal in a real node, or one in clear where encrypted ones are
// wanted.
type LeftoverError struct {
	File string // below the node's directory
	What string // is wrong with it
}

func (e *LeftoverError) Error() string {
	return fmt.Sprintf("%s was left by an init that was stopped, with other options: %s. Nothing was signed with it: give the same options, or remove the directory keys and call it again", e.File, e.What)
}

// Leftover reads a key that a call which was killed has made, if it lies as this one
// would have left it; a [*LeftoverError] says that it does not.
func Leftover(v *vault.Vault, name string) ([]byte, error) {
	encrypted, err := v.Encrypted(name)
	if err != nil {
		return nil, err
	}
	if v.Encrypts() && !encrypted {
		return nil, &LeftoverError{name, "it lies in clear, and encrypted keys are wanted"}
	}
	return v.Read(name)
}

// Make makes a seal key: the one in the KMS that uri names, or a new file. name is "" for
// a name made from the key's id, so that no leftover of a crash is ever taken for it; a
// file of another name that is there is taken up, if it is what would have been made (see
// [LeftoverError]). The file is on the disk when it returns; nothing names it yet.
func Make(ctx context.Context, v *vault.Vault, name, uri string, training bool) (Key, error) {
	k := Key{URI: uri, File: name, Made: holdfast.At(time.Now())}
	if uri != "" {
		s, err := preserve.OpenKMS(ctx, uri)
		if err == nil {
			k.File, k.SPKI = "", s.SPKI()
		}
		return k, err
	}
	text, err := preserve.NewKey(training)
	if err != nil {
		return k, err
	}
	s, err := preserve.ParseKey("new key", text)
	if err != nil {
		return k, err
	}
	k.SPKI = s.SPKI()
	if name == "" {
		k.File = "keys/seal-" + k.ID()[:16] + ".pem"
	}
	err = v.Create(k.File, text)
	if errors.Is(err, fs.ErrExist) && name != "" { // an init that was interrupted
		if text, err = Leftover(v, name); err == nil {
			s, err = preserve.ParseKey(name, text)
		}
		if err == nil && preserve.IsTraining(text) != training {
			err = &LeftoverError{name, map[bool]string{true: "it is a key of a real node", false: "it is a key of a rehearsal (--training)"}[training]}
		}
		if err == nil {
			k.SPKI = s.SPKI()
		}
	}
	if err != nil {
		return k, fmt.Errorf("make seal key: %w", err)
	}
	return k, nil
}
