package telegram

import (
	"bytes"
	"crypto/aes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gotd/ige"
	"github.com/gotd/td/bin"
	"github.com/gotd/td/crypto"
	"golang.org/x/crypto/pbkdf2"

	"holdfast/collectors/telegram/telegramtest"
)

// TestImport: one session in each form that other programs keep it in is the same
// session here, and logged in; what is none is refused without a word of it.
func TestImport(t *testing.T) {
	s := start(t, telegramtest.NewWorld(), telegramtest.Options{})
	made := loggedIn(t, s)
	d, err := decodeSession(made)
	if err != nil {
		t.Fatal(err)
	}
	key := crypto.Key(d.AuthKey)
	telethon := append([]byte{byte(d.DC), 127, 0, 0, 1, 1, 187}, key[:]...)
	text := "1" + base64.URLEncoding.EncodeToString(telethon)
	forms := map[string]func() ([]byte, error){
		"gotd":               func() ([]byte, error) { return ParseSession(made) },
		"telethon":           func() ([]byte, error) { return ParseSession([]byte(text + "\n")) },
		"telethon, unpadded": func() ([]byte, error) { return ParseSession([]byte(strings.TrimRight(text, "="))) },
		"desktop":            func() ([]byte, error) { return ReadDesktop(tdata(d.DC, key, nil), nil) },
		"desktop, locked":    func() ([]byte, error) { return ReadDesktop(tdata(d.DC, key, []byte("0000")), []byte("0000")) },
	}
	for what, read := range forms {
		b, err := read()
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		got, err := decodeSession(b)
		if err != nil || !bytes.Equal(got.AuthKey, d.AuthKey) || got.DC != d.DC || bytes.Contains(b, []byte("127.0.0.1")) {
			t.Errorf("%s: another session, or where it was made is in it: %v", what, err)
		}
		if l, err := options(t, s).Adopt(t.Context(), b); err != nil || l.User == 0 {
			t.Errorf("%s: %v, %v", what, l, err)
		}
	}
	damaged := bytes.Replace(made, []byte(`"AuthKey":"`), []byte(`"AuthKey":"AAAA`), 1)
	other := tdata(d.DC, key, nil)
	other["key_datas"].Data[300] ^= 1
	for what, read := range map[string]func() ([]byte, error){
		"nothing":          func() ([]byte, error) { return ParseSession(nil) },
		"a word":           func() ([]byte, error) { return ParseSession([]byte("secretword")) },
		"half a string":    func() ([]byte, error) { return ParseSession([]byte(text[:200])) },
		"an object":        func() ([]byte, error) { return ParseSession([]byte(`{"secretword":1}`)) },
		"a damaged key":    func() ([]byte, error) { return ParseSession(damaged) },
		"a database":       func() ([]byte, error) { return ParseSession([]byte("SQLite format 3\x00")) },
		"no folder":        func() ([]byte, error) { return ReadDesktop(fstest.MapFS{}, nil) },
		"another passcode": func() ([]byte, error) { return ReadDesktop(tdata(d.DC, key, []byte("0000")), []byte("secretword")) },
		"a damaged folder": func() ([]byte, error) { return ReadDesktop(other, nil) },
		"a count that lies": func() ([]byte, error) {
			return ReadDesktop(tdataOf(d.DC, key, nil, 1<<22), nil) // gotd makes room for as many, so no larger one here
		},
		"two accounts": func() ([]byte, error) { return ReadDesktop(tdataOf(d.DC, key, nil, 2), nil) },
		"a large file": func() ([]byte, error) {
			return ReadDesktop(fstest.MapFS{"key_datas": {Data: make([]byte, maxDesktopFile+1)}}, nil)
		},
		"a device": func() ([]byte, error) {
			return ReadDesktop(fstest.MapFS{"key_datas": {Mode: fs.ModeDevice}}, nil)
		},
	} {
		b, err := read()
		if !errors.Is(err, ErrSession) || b != nil || strings.Contains(err.Error(), "secretword") || strings.Contains(err.Error(), text[10:40]) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func tdata(dc int, key crypto.Key, passcode []byte) fstest.MapFS {
	return tdataOf(dc, key, passcode, 1)
}

// tdataOf writes Telegram Desktop's folder as that program does: a local key under
// the passcode, and under that key the list of accounts and each one's keys.
func tdataOf(dc int, key crypto.Key, passcode []byte, accounts uint32) fstest.MapFS {
	be, le := binary.BigEndian, binary.LittleEndian
	array := func(order binary.AppendByteOrder, b []byte) []byte {
		return append(order.AppendUint32(nil, uint32(len(b))), b...)
	}
	var local crypto.Key
	for i := range local {
		local[i] = byte(i)
	}
	salt := bytes.Repeat([]byte{7}, 32)
	rounds := 1
	if len(passcode) > 0 {
		rounds = 100000
	}
	mixed := sha512.Sum512(append(append(bytes.Clone(salt), passcode...), salt...))
	under := crypto.Key(pbkdf2.Key(mixed[:], salt, rounds, 256, sha512.New))

	info := be.AppendUint32(be.AppendUint32(le.AppendUint32(nil, 16), accounts), 0)
	info = be.AppendUint32(info, 1)
	keys := append(array(be, salt), array(be, locked(append(array(le, make([]byte, 268))[:4], append(local[:], make([]byte, 12)...)...), under))...)
	keys = append(keys, array(be, locked(info, local))...)

	var auth []byte
	for _, v := range []uint32{0x4b, 0, 7001, uint32(dc), 1, uint32(dc)} {
		auth = be.AppendUint32(auth, v)
	}
	auth = append(auth, key[:]...)
	auth = append(be.AppendUint32(nil, uint32(len(auth))), auth...)
	auth = append(auth, make([]byte, (16-len(auth)%16)%16)...)
	data := wrapped(array(be, locked(auth, local)))
	name := func(s string) string {
		sum := md5.Sum([]byte(s))
		var out []byte
		for _, c := range sum[:8] {
			out = append(out, "0123456789ABCDEF"[c&15], "0123456789ABCDEF"[c>>4])
		}
		return string(out)
	}
	return fstest.MapFS{"key_datas": {Data: wrapped(keys)}, name("data") + "s": {Data: data}, name("data#2") + "s": {Data: data}}
}

// locked encrypts as Telegram Desktop does for its own disk.
func locked(b []byte, under crypto.Key) []byte {
	sum := sha1.Sum(b)
	id := bin.Int128(sum[:16])
	k, iv := crypto.OldKeys(under, id, crypto.Server)
	c, err := aes.NewCipher(k[:])
	if err != nil {
		panic(err)
	}
	out := make([]byte, len(b))
	ige.EncryptBlocks(c, iv[:], out, b)
	return append(id[:], out...)
}

func wrapped(b []byte) []byte {
	version := []byte{1, 0, 0, 0}
	h := md5.New()
	h.Write(b)
	h.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(b))))
	h.Write(version)
	h.Write([]byte("TDF$"))
	return append(append(append([]byte("TDF$"), version...), b...), h.Sum(nil)...)
}
