package telegram

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gotd/td/session"
	"github.com/gotd/td/telegram"
	"github.com/gotd/td/telegram/auth"
	"github.com/gotd/td/tg"
)

// Asker asks a person for what the service wants to hear. Each method is called at
// most once in a login: what is wrong ends it, and nothing is tried again.
type Asker interface {
	// Code returns the code that was sent; how says where to look for it.
	Code(ctx context.Context, how string) (string, error)
	// Password returns the account's second password; hint is what its owner has
	// written to remember it by.
	Password(ctx context.Context, hint string) (string, error)
}

// Login is what a login leaves.
type Login struct {
	Session []byte // for Account.Session; whoever has it is logged in
	User    int64  // whose it is, by the service's number
}

// GoString keeps %#v from printing the session; String keeps %v from it.
func (l *Login) GoString() string { return "Login{}" }

// String implements fmt.Stringer.
func (l *Login) String() string { return l.GoString() }

// LogIn logs in with the code that the service sends to whoever has the number.
// Errors: those of Run, and the service's, for which [Judge] has words; a number
// without an account is [ErrNoAccount]: none is made.
func (o Options) LogIn(ctx context.Context, phone string, ask Asker) (*Login, error) {
	return o.login(ctx, func(ctx context.Context, c *telegram.Client) error {
		sent, err := c.Auth().SendCode(ctx, phone, auth.SendCodeOptions{})
		if err != nil {
			return err
		}
		s, ok := sent.(*tg.AuthSentCode)
		if !ok {
			return fmt.Errorf("%w: it answered with %s", errSent, sent.TypeName())
		}
		how, ok := codeWay(s.Type)
		if !ok {
			return fmt.Errorf("%w: it wants %s first", errSent, s.Type.TypeName())
		}
		code, err := ask.Code(ctx, how)
		if err != nil {
			return err
		}
		_, err = c.Auth().SignIn(ctx, phone, strings.TrimSpace(code), s.PhoneCodeHash)
		if errors.Is(err, auth.ErrPasswordAuthNeeded) {
			return password(ctx, c, ask)
		}
		if s := (*auth.SignUpRequired)(nil); errors.As(err, &s) {
			return ErrNoAccount
		}
		return err
	})
}

// ErrNoAccount is returned for a number that no account belongs to.
var ErrNoAccount = errors.New("nobody has an account with this number")

// errSent is wrapped where the service sends no code.
var errSent = errors.New("the service sends no code for this number")

// codeWay says where a code is to be looked for.
func codeWay(t tg.AuthSentCodeTypeClass) (string, bool) {
	switch t := t.(type) {
	case *tg.AuthSentCodeTypeApp:
		return "in the Telegram app of this account, on a device that is logged in", true
	case *tg.AuthSentCodeTypeSMS, *tg.AuthSentCodeTypeFirebaseSMS, *tg.AuthSentCodeTypeSMSWord, *tg.AuthSentCodeTypeSMSPhrase:
		return "in a text message to this number", true
	case *tg.AuthSentCodeTypeCall:
		return "from a voice that calls this number", true
	case *tg.AuthSentCodeTypeFlashCall:
		return "the number that calls this number now", true
	case *tg.AuthSentCodeTypeMissedCall:
		return fmt.Sprintf("the last %d digits of the number, beginning with %s, that calls this number now", t.Length, t.Prefix), true
	case *tg.AuthSentCodeTypeFragmentSMS:
		return "at " + t.URL, true
	case *tg.AuthSentCodeTypeEmailCode:
		return "in a mail to " + t.EmailPattern, true
	}
	return "", false
}

func password(ctx context.Context, c *telegram.Client, ask Asker) error {
	p, err := c.API().AccountGetPassword(ctx)
	if err != nil {
		return err
	}
	word, err := ask.Password(ctx, p.Hint)
	if err != nil {
		return err
	}
	_, err = c.Auth().PasswordWith(ctx, auth.PasswordHashFor([]byte(word)))
	return err
}

// login connects with a new key, does what logs in, and asks once, as the account,
// who it is.
func (o Options) login(ctx context.Context, do func(ctx context.Context, c *telegram.Client) error) (*Login, error) {
	o, err := o.fill()
	if err != nil {
		return nil, err
	}
	kept, l := &session.StorageMemory{}, &Login{}
	err = o.connect(ctx, kept, func(ctx context.Context, c *telegram.Client) error {
		if err := do(ctx, c); err != nil {
			return err
		}
		u, err := c.Self(ctx)
		if err != nil {
			return err
		}
		l.User = u.ID
		l.Session, err = settled(ctx, kept, c.Config().ThisDC)
		return err
	})
	if err != nil {
		return nil, told(err)
	}
	return l, nil
}

// settled waits until the session of a data centre was stored: gotd uses it a
// moment before, and one of where the login began is no use.
func settled(ctx context.Context, kept *session.StorageMemory, dc int) ([]byte, error) {
	ctx, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	for {
		b, err := kept.Bytes(nil)
		if err == nil {
			if d, err := decodeSession(b); err == nil && d.DC == dc {
				return encodeSession(d)
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("take the session of data centre %d: %w", dc, context.Cause(ctx))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Adopt looks whether a session that was made elsewhere is logged in.
func (o Options) Adopt(ctx context.Context, from []byte) (*Login, error) {
	d, err := decodeSession(from)
	if err != nil {
		return nil, err
	}
	l := &Login{}
	if l.Session, err = encodeSession(d); err != nil {
		return nil, err
	}
	if l.User, err = o.Check(ctx, Account{Session: l.Session}); err != nil {
		return nil, err
	}
	return l, nil
}

// Check asks the service who the account is. Errors: those of Run.
func (o Options) Check(ctx context.Context, a Account) (user int64, err error) {
	err = o.with(ctx, a, func(ctx context.Context, c *telegram.Client) error {
		u, err := c.Self(ctx)
		if err == nil {
			user = u.ID
		}
		return err
	})
	return user, err
}

// LogOut ends the session at the service: nobody can use it any more.
func (o Options) LogOut(ctx context.Context, a Account) error {
	return o.with(ctx, a, func(ctx context.Context, c *telegram.Client) error {
		_, err := c.API().AuthLogOut(ctx)
		return err
	})
}

// maxAside bounds what is asked besides reading.
const maxAside = time.Minute

func (o Options) with(ctx context.Context, a Account, f func(ctx context.Context, c *telegram.Client) error) error {
	o, err := o.fill()
	if err != nil {
		return err
	}
	held, err := hold(a.Session)
	if err != nil {
		return err
	}
	return told(o.connect(ctx, held, func(ctx context.Context, c *telegram.Client) error {
		ctx, stop := context.WithTimeout(ctx, maxAside)
		defer stop()
		return f(ctx, c)
	}))
}
