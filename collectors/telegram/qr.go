package telegram

import (
	"context"
	"time"

	"github.com/gotd/td/telegram"
	"github.com/gotd/td/telegram/auth/qrlogin"
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
	updates := tg.NewUpdateDispatcher()
	scanned := qrlogin.OnLoginToken(updates)
	o.updates = updates
	return o.login(ctx, nil, func(ctx context.Context, c *telegram.Client) error {
		q := qrlogin.NewQR(c.API(), o.App.ID, o.App.Hash, qrlogin.Options{Migrate: c.MigrateTo})
		_, err := q.Auth(ctx, scanned, func(_ context.Context, t qrlogin.Token) error { return show(t.URL(), t.Expires()) })
		if tgerr.Is(err, "SESSION_PASSWORD_NEEDED") {
			return password(ctx, c, ask)
		}
		return err
	})
}
