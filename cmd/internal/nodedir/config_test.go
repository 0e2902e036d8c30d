package nodedir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadConfig: the environment goes before the file, a path counts from the file, and what
// others can read, or nobody wrote, is refused.
func TestReadConfig(t *testing.T) {
	dir := t.TempDir()
	if c, err := ReadConfig(dir); err != nil || c != (Config{}) {
		t.Errorf("without a file: %+v, %v", c, err)
	}
	path := filepath.Join(dir, FileConfig)
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	write("telegram: {app_id: 1, servers: elsewhere/servers.json, sweep: 1m}\nweb: {least: 5m}\n", 0o600)
	t.Setenv("HOLDFAST_TELEGRAM_APP_ID", "2")
	t.Setenv("HOLDFAST_WEB_PACE", "7s")
	c, err := ReadConfig(dir)
	want := Config{Telegram: TelegramConfig{AppID: "2", Servers: filepath.Join(dir, "elsewhere/servers.json"), Sweep: "1m"}, Web: WebConfig{Least: "5m", Pace: "7s"}}
	if err != nil || c != want {
		t.Errorf("%+v, %v, want %+v", c, err, want)
	}
	write("telegram: {app_di: 1}\n", 0o600)
	if _, err := ReadConfig(dir); err == nil || !strings.Contains(err.Error(), "app_di") {
		t.Errorf("a member that there is not: %v", err)
	}
	write("", 0o640)
	if _, err := ReadConfig(dir); err == nil {
		t.Error("others can read it, and it is read")
	}
}

// TestOptions says what is missing, and quotes no secret.
func TestOptions(t *testing.T) {
	const hash = "0123456789abcdef0123456789abcdef"
	for name, c := range map[string]struct {
		t    TelegramConfig
		want string
	}{
		"none":       {TelegramConfig{}, "my.telegram.org/apps"},
		"no number":  {TelegramConfig{AppID: "x", AppHash: hash}, `app_id "x" is no number`},
		"no hash":    {TelegramConfig{AppID: "1", AppHash: hash + "secret"}, "app_hash is not 32"},
		"no servers": {TelegramConfig{AppID: "1", AppHash: hash, Servers: filepath.Join(t.TempDir(), "x")}, "read servers"},
	} {
		_, err := c.t.Options()
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if errors.Is(err, ErrNoApp) != (name == "none") {
			t.Errorf("%s: ErrNoApp: %v", name, err)
		}
	}
	if o, err := (TelegramConfig{AppID: "7", AppHash: hash}).Options(); err != nil || o.App.ID != 7 || o.Pace == 0 {
		t.Errorf("%+v, %v: want the application, at the pace of Telegram's own", o.App.ID, err)
	}
}
