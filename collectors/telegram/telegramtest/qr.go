package telegramtest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
	"github.com/gotd/td/tgtest"
)

// shown is a picture that somebody may scan.
type shown struct {
	by      tgtest.Session // that shows it
	scanned bool
}

// Scan does what a phone does that looks at the picture: url is what is in it,
// tg://login?token=….
func (s *Server) Scan(url string) error {
	token, err := base64.URLEncoding.DecodeString(strings.TrimPrefix(url, "tg://login?token="))
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	s.mu.Lock()
	p := s.pictures[string(token)]
	if p != nil {
		p.scanned = true
	}
	s.mu.Unlock()
	if p == nil {
		return errors.New("scan: AUTH_TOKEN_INVALID")
	}
	u := encoded(&tg.UpdateShort{Update: &tg.UpdateLoginToken{}, Date: int(s.World.Now().Unix())})
	return s.main.Send(context.Background(), p.by, tgtest.MessageFromServer, u)
}

func pictureMethods(add func(uint32, method)) {
	add(on("auth.exportLoginToken", true, func(s *Server, req *tgtest.Request, _ *tg.AuthExportLoginTokenRequest) (bin.Encoder, error) {
		s.mu.Lock()
		scanned := false
		for token, p := range s.pictures {
			if p.by.AuthKey.ID == req.Session.AuthKey.ID {
				scanned = scanned || p.scanned
				delete(s.pictures, token)
			}
		}
		token := fmt.Sprintf("token %d", s.asked["auth.exportLoginToken"])
		s.pictures[token] = &shown{by: req.Session}
		s.mu.Unlock()
		if !scanned {
			return encoded(&tg.AuthLoginToken{Token: []byte(token), Expires: int(s.World.Now().Unix()) + s.o.PictureLife}), nil
		}
		if req.DC != s.o.Home {
			return encoded(&tg.AuthLoginTokenMigrateTo{DCID: s.o.Home, Token: []byte(moved)}), nil
		}
		return s.byPicture(req)
	}))
	add(on("auth.importLoginToken", true, func(s *Server, req *tgtest.Request, in *tg.AuthImportLoginTokenRequest) (bin.Encoder, error) {
		if string(in.Token) != moved || req.DC != s.o.Home {
			return nil, tgerr.New(400, "AUTH_TOKEN_INVALID")
		}
		return s.byPicture(req)
	}))
}

// moved is the token that takes a login to the account's data centre.
const moved = "moved"

func (s *Server) byPicture(req *tgtest.Request) (bin.Encoder, error) {
	if err := s.first(req); err != nil {
		return nil, err
	}
	return encoded(&tg.AuthLoginTokenSuccess{Authorization: &tg.AuthAuthorization{User: self()}}), nil
}
