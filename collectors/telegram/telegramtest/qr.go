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
		if err := s.first(req); err != nil {
			return nil, err
		}
		return encoded(&tg.AuthLoginTokenSuccess{Authorization: &tg.AuthAuthorization{User: self()}}), nil
	}))
	add(on("auth.importLoginToken", true, func(*Server, *tgtest.Request, *tg.AuthImportLoginTokenRequest) (bin.Encoder, error) {
		return nil, tgerr.New(400, "AUTH_TOKEN_INVALID")
	}))
}
