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

// maxDesktopFile bounds each file of that folder, in bytes.
const maxDesktopFile = 16 << 20

// ReadDesktop reads the session of Telegram Desktop's folder tdata; passcode is
// the one that opens the program, nil if it has none. Errors: [ErrSession].
func ReadDesktop(tdata fs.FS, passcode []byte) (b []byte, err error) {
	defer func() {
		if recover() != nil { // gotd's reader believes what lengths the files tell
			b, err = nil, fmt.Errorf("%w: a file of the folder is damaged", ErrSession)
		}
	}()
	accounts, err := tdesktop.ReadFS(small{tdata}, passcode)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; the folder is Telegram Desktop's tdata, and its passcode, if it has one, goes into --password-file", ErrSession, err)
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

// small opens no file but a regular one of bounded size: one that nobody writes to
// would be waited for.
type small struct{ fs.FS }

// Open implements fs.FS.
func (s small) Open(name string) (fs.File, error) {
	info, err := fs.Stat(s.FS, name)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxDesktopFile) {
		err = &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if err != nil {
		return nil, err
	}
	return s.FS.Open(name)
}

// Stat implements fs.StatFS.
func (s small) Stat(name string) (fs.FileInfo, error) { return fs.Stat(s.FS, name) }

// encodeSession keeps what a connection needs, and nothing of where it was made.
func encodeSession(d *session.Data) ([]byte, error) {
	s := &session.StorageMemory{}
	err := (&session.Loader{Storage: s}).Save(context.Background(), &session.Data{DC: d.DC, AuthKey: d.AuthKey, AuthKeyID: d.AuthKeyID, Salt: d.Salt})
	if err != nil {
		return nil, err
	}
	return s.Bytes(nil)
}
