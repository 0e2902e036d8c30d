package telegram

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gotd/td/crypto"
	"github.com/gotd/td/session"
	"github.com/gotd/td/telegram/auth"
	"github.com/gotd/td/tgerr"
)

// ErrSession is wrapped by the error for bytes that are no session.
var ErrSession = errors.New("not a session")

// held is the session of one connection. gotd makes a new key, unasked, when the
// service does not know the old one, and would put it in its place: an empty
// session in the place of a login. Here that is the end of the connection.
type held struct {
	mu   sync.Mutex
	b    []byte
	key  []byte // its id
	lost func()
	same chan struct{} // closed when the connection has shown that its key is this one
	once sync.Once
}

func hold(b []byte) (*held, error) {
	d, err := decodeSession(b)
	if err != nil {
		return nil, err
	}
	return &held{b: b, key: d.AuthKeyID, lost: func() {}, same: make(chan struct{})}, nil
}

// decodeSession reads gotd's JSON.
func decodeSession(b []byte) (*session.Data, error) {
	s := &session.StorageMemory{}
	if err := s.StoreSession(context.Background(), b); err != nil {
		return nil, err
	}
	d, err := (&session.Loader{Storage: s}).Load(context.Background())
	if err != nil { // it may quote the bytes
		return nil, ErrSession
	}
	var k crypto.Key
	if copy(k[:], d.AuthKey) != len(k) || len(d.AuthKey) != len(k) || d.DC < 1 {
		return nil, fmt.Errorf("%w: no key in it", ErrSession)
	}
	if id := k.ID(); !bytes.Equal(id[:], d.AuthKeyID) {
		return nil, fmt.Errorf("%w: its key is damaged", ErrSession)
	}
	return d, nil
}

// LoadSession implements session.Storage.
func (h *held) LoadSession(context.Context) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b, nil
}

// StoreSession implements session.Storage: salts change, the key does not.
func (h *held) StoreSession(_ context.Context, b []byte) error {
	d, err := decodeSession(b)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !bytes.Equal(d.AuthKeyID, h.key) {
		h.lost()
		return ErrLoggedOut
	}
	h.b = b
	h.once.Do(func() { close(h.same) })
	return nil
}

// told puts our own word before the service's.
func told(err error) error {
	switch {
	case errors.Is(err, ErrLoggedOut), tgerr.Is(err, "SESSION_PASSWORD_NEEDED", "USER_DEACTIVATED", "USER_DEACTIVATED_BAN"):
		return err
	case auth.IsUnauthorized(err), tgerr.Is(err, "AUTH_KEY_DUPLICATED"):
		return fmt.Errorf("%w: %w", ErrLoggedOut, err)
	}
	return err
}
