package telegram

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/gotd/td/telegram"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
)

// maxPictures bounds how long a picture is shown to be scanned.
const maxPictures = 5 * time.Minute

// LogInByQR logs in with a picture that a device which is logged in scans
// (Settings, Devices, Link Desktop Device). show gets what is to be in the picture,
// and until when it is good; it is called again with a new one then. Errors: those
// of LogIn; context.DeadlineExceeded after 5 minutes.
func (o Options) LogInByQR(ctx context.Context, show func(url string, until time.Time) error, ask Asker) (*Login, error) {
	ctx, stop := context.WithTimeout(ctx, maxPictures)
	defer stop()
	scanned := make(chan struct{}, 1) // one may come before anybody waits
	updates := tg.NewUpdateDispatcher()
	updates.OnLoginToken(func(context.Context, tg.Entities, *tg.UpdateLoginToken) error {
		select {
		case scanned <- struct{}{}:
		default:
		}
		return nil
	})
	o.updates = updates
	return o.login(ctx, func(ctx context.Context, c *telegram.Client) error {
		err := o.pictures(ctx, c, show, scanned)
		if tgerr.Is(err, "SESSION_PASSWORD_NEEDED") {
			return password(ctx, c, ask)
		}
		return err
	})
}

// pictures asks for a picture, and again when it was scanned or is too old: the
// answer says whether the account is in. gotd's own flow loses a scan that comes
// before it waits, and gives up where the push of one was lost.
func (o Options) pictures(ctx context.Context, c *telegram.Client, show func(url string, until time.Time) error, scanned <-chan struct{}) error {
	for {
		answer, err := c.API().AuthExportLoginToken(ctx, &tg.AuthExportLoginTokenRequest{APIID: o.App.ID, APIHash: o.App.Hash})
		if err != nil {
			return err
		}
		if m, ok := answer.(*tg.AuthLoginTokenMigrateTo); ok {
			if err := c.MigrateTo(ctx, m.DCID); err != nil {
				return err
			}
			if answer, err = c.API().AuthImportLoginToken(ctx, m.Token); err != nil {
				return err
			}
		}
		switch a := answer.(type) {
		case *tg.AuthLoginTokenSuccess:
			return nil
		case *tg.AuthLoginToken:
			until := time.Unix(int64(a.Expires), 0)
			if err := show("tg://login?token="+base64.URLEncoding.EncodeToString(a.Token), until); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-scanned:
			case <-time.After(min(max(time.Until(until), 5*time.Second), time.Minute)): // whatever the clock says
			}
		default:
			return fmt.Errorf("the service answers a picture with %s", answer.TypeName())
		}
	}
}
