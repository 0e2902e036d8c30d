package alert

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"strings"
	"time"
)

// Mail is how a mailbox is reached. Server is `smtps://HOST[:465]`, TLS from the first
// byte, or `smtp://HOST[:587]`, where TLS must be begun before anything is said.
type Mail struct {
	Server   string
	From     string
	User     string // "" : nobody logs in
	Password string
}

func (m Mail) check(to string) error {
	if m.Server == "" || m.From == "" {
		return fmt.Errorf("mailto:%.100s: %w: a mail needs --smtp smtps://HOST and --from ADDRESS", to, ErrTarget)
	}
	for _, a := range []string{to, m.From} {
		if _, err := mail.ParseAddress(a); err != nil || strings.ContainsAny(a, "\r\n<> ") {
			return fmt.Errorf("%.100q: %w: it is no address of mail", a, ErrTarget)
		}
	}
	_, _, _, err := m.server()
	return err
}

func (m Mail) server() (host, port string, implicit bool, err error) {
	rest, implicit := strings.CutPrefix(m.Server, "smtps://")
	port = "465"
	if !implicit {
		var ok bool
		if rest, ok = strings.CutPrefix(m.Server, "smtp://"); !ok {
			return "", "", false, fmt.Errorf("--smtp %.100q: %w: write smtps://HOST, or smtp://HOST for a server that begins TLS later", m.Server, ErrTarget)
		}
		port = "587"
	}
	host = rest
	if h, p, err := net.SplitHostPort(rest); err == nil {
		host, port = h, p
	}
	if host == "" || strings.ContainsAny(host, "/@") {
		return "", "", false, fmt.Errorf("--smtp %.100q: %w: no host; a user is --smtp-user", m.Server, ErrTarget)
	}
	return host, port, implicit, nil
}

// send says nothing in clear: without TLS there is no mail, and no password.
func (m Mail) send(ctx context.Context, dial func(ctx context.Context, network, address string) (net.Conn, error), to string, b Batch) error {
	if err := m.check(to); err != nil { // whoever has written the rule
		return err
	}
	host, port, implicit, err := m.server()
	if err != nil {
		return err
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return fmt.Errorf("send mail: %w", err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	conf := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if implicit {
		conn = tls.Client(conn, conf)
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return fmt.Errorf("send mail: %w", err)
	}
	defer c.Close()
	if !implicit {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errors.New("send mail: the server does not begin TLS, and nothing is sent without it")
		}
		if err := c.StartTLS(conf); err != nil {
			return fmt.Errorf("send mail: %w", err)
		}
	}
	if m.User != "" {
		if err := c.Auth(smtp.PlainAuth("", m.User, m.Password, host)); err != nil {
			return fmt.Errorf("send mail: log in: %w", err)
		}
	}
	if err := m.give(c, to, b); err != nil {
		return fmt.Errorf("send mail: %w", err)
	}
	c.Quit() // it has taken the mail: what it says now changes nothing
	return nil
}

func (m Mail) give(c *smtp.Client, to string, b Batch) error {
	if err := c.Mail(m.From); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(m.text(to, b)); err != nil {
		return err
	}
	return w.Close()
}

// text is the mail. Its Message-ID follows from the batch, so a mailbox that gets it
// twice can tell.
func (m Mail) text(to string, b Batch) []byte {
	_, domain, _ := strings.Cut(m.From, "@")
	subject := fmt.Sprintf("holdfast %s: %s", b.Rule, cut(b.Events[0].Words, 80))
	if len(b.Events) > 1 {
		subject = fmt.Sprintf("holdfast %s: %d events", b.Rule, len(b.Events))
	}
	var out bytes.Buffer
	for _, h := range [][2]string{{"From", m.From}, {"To", to}, {"Subject", mime.QEncoding.Encode("utf-8", strings.ReplaceAll(subject, "\n", " "))},
		{"Date", time.Now().Format(time.RFC1123Z)}, {"Message-ID", "<" + b.ID + "@" + domain + ">"}, {"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"}, {"Content-Type", "text/plain; charset=utf-8"}, {"Content-Transfer-Encoding", "quoted-printable"}} {
		out.WriteString(h[0] + ": " + strings.NewReplacer("\r", "", "\n", "").Replace(h[1]) + "\r\n")
	}
	out.WriteString("\r\n")
	q := quotedprintable.NewWriter(&out)
	for _, e := range b.Events {
		fmt.Fprintf(q, "%s\n%s\n%s  id %s\n\n", e.Words, e.Text, e.At, e.ID)
	}
	q.Close()
	return out.Bytes()
}
