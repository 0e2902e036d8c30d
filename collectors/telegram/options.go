package telegram

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gotd/td/telegram"
	"github.com/gotd/td/telegram/dcs"
)

// App is what Telegram calls an application: my.telegram.org/apps gives an id and
// a hash to whoever has an account. The hash is a secret.
type App struct {
	ID   int
	Hash string
}

// GoString keeps %#v from printing the hash.
func (a App) GoString() string { return fmt.Sprintf("App{%d}", a.ID) }

// String keeps %v from printing it.
func (a App) String() string { return a.GoString() }

// ErrNoApp is wrapped by the error for Options without an application.
var ErrNoApp = errors.New("no application of Telegram's")

// Options are what all accounts of a node share. The zero value of all but App is
// good: production, the direct line, this machine's clock.
type Options struct {
	App     App
	Servers *Servers // nil: production
	Proxy   *Proxy   // nil: the direct line
	Log     *slog.Logger
	Now     func() time.Time
	// Connect bounds how long a connection may take to stand for the first time;
	// 0 is a minute.
	Connect time.Duration
	// Pace is how often a Line asks at most, after its first 30 questions; 0 is as
	// often as it can. A service that has to say FLOOD_WAIT remembers it.
	Pace time.Duration

	// Pushes lets the service tell by itself that something has happened
	// ([Line.Pushed]). Without it every question says that it is not to.
	Pushes bool

	updates telegram.UpdateHandler        // nil: none are wanted
	broke   func(err error, forGood bool) // a connection for files ended so; nil: there are none
}

func (o Options) fill() (Options, error) {
	if o.App.ID <= 0 || o.App.Hash == "" {
		return o, ErrNoApp
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Connect == 0 {
		o.Connect = time.Minute
	}
	return o, nil
}

// filePace is how many questions for parts of files may be asked in the time of one
// other: the service counts them apart, and its own apps ask for many at once.
const filePace = 10

// burst is what a Line may ask before Pace counts: a channel and a few pages of it.
const burst = 30

// client is what gotd is given. Its own log is not: there are keys and numbers of
// telephones in it. The device is one of many: what is said here the service knows,
// and shows in the account's list of devices.
func (o Options) client() (telegram.Options, error) {
	t := telegram.Options{
		DC: o.Servers.dc(), DCList: dcs.Prod(),
		NoUpdates: o.updates == nil, UpdateHandler: o.updates,
		Device: telegram.DeviceConfig{DeviceModel: "PC", SystemVersion: "Linux", AppVersion: "1.0", SystemLangCode: "en", LangCode: "en"},
	}
	if o.Servers != nil {
		t.DCList, t.PublicKeys = o.Servers.list, o.Servers.keys
	}
	var err error
	t.Resolver, err = o.Proxy.resolver()
	return t, err
}
