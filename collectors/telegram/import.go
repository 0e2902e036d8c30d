package telegram

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/gotd/td/session"
	"github.com/gotd/td/session/tdesktop"
)

// ParseSession reads a session that was made elsewhere: gotd's JSON, or a string
// of Telethon's. Errors: [ErrSession], which repeats nothing of it.
func ParseSession(b []byte) ([]byte, error) {
	b = bytes.TrimSpace(b)
	switch {
	case bytes.HasPrefix(b, []byte("SQLite format 3")):
		return nil, fmt.Errorf("%w: this is Telethon's database; make a string of it with StringSession.save(client.session)", ErrSession)
	case bytes.HasPrefix(b, []byte("{")):
		d, err := decodeSession(b)
		if err != nil {
			return nil, err
		}
		return encodeSession(d)
	}
	text := string(b)
	if n := len(text); n > 0 { // Telethon writes no padding everywhere
		text += strings.Repeat("=", (4-(n-1)%4)%4)
	}
	d, err := session.TelethonSession(text)
	if err != nil {
		return nil, fmt.Errorf("%w: neither gotd's JSON nor a string of Telethon's", ErrSession)
	}
	return encodeSession(d)
}

// ReadDesktop reads the session of Telegram Desktop's folder tdata; passcode is
// the one that opens the program, nil if it has none. Errors: [ErrSession].
func ReadDesktop(tdata fs.FS, passcode []byte) ([]byte, error) {
	accounts, err := tdesktop.ReadFS(tdata, passcode)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSession, err)
	}
	if len(accounts) != 1 {
		return nil, fmt.Errorf("%w: %d accounts are in it, and which is meant is not to be seen: keep one in Telegram Desktop", ErrSession, len(accounts))
	}
	d, err := session.TDesktopSession(accounts[0])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSession, err)
	}
	return encodeSession(d)
}

// encodeSession keeps what a connection needs, and nothing of where it was made.
func encodeSession(d *session.Data) ([]byte, error) {
	s := &session.StorageMemory{}
	err := (&session.Loader{Storage: s}).Save(context.Background(), &session.Data{DC: d.DC, AuthKey: d.AuthKey, AuthKeyID: d.AuthKeyID, Salt: d.Salt})
	if err != nil {
		return nil, err
	}
	return s.Bytes(nil)
}
