package doctor

import (
	"context"
	"fmt"
	"os"
	"time"

	"holdfast/collectors/web"
)

// pageRoom is what a page of the largest size takes while it is captured, half of it spools;
// below leastRoom none is captured. In bytes.
const (
	pageRoom  = 3 * web.DefaultBytes
	leastRoom = 200 << 20
)

// Browser starts the browser that o names, or the system's, has it open a page and make a
// picture, asks yt-dlp where o names one, and looks for room for as many pages as are captured
// at once (tabs), in the system's temporary folder and in data. It takes half a minute at most.
func (d *Report) Browser(ctx context.Context, o web.Options, data string, tabs int) {
	ctx, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	dir, err := os.MkdirTemp("", "holdfast-doctor-")
	if err != nil {
		d.Check("browser", "", err)
		return
	}
	defer os.RemoveAll(dir)
	o.Dir, o.Tabs = dir, 1
	w, err := web.New(o)
	if err != nil {
		d.Check("browser", "", err)
		return
	}
	defer w.Close()
	name, notes, err := w.Check(ctx)
	d.Check("browser", name, err)
	for _, n := range notes {
		d.Note("browser", n)
	}
	if films, err := w.CheckYtdlp(ctx); films != "" || err != nil {
		d.Check("films", films, err)
	}
	for _, at := range []string{os.TempDir(), data} {
		d.room(at, tabs)
	}
}

// room says where the browser has little of it: what a page sends lies in the data
// directory until it is kept.
func (d *Report) room(dir string, tabs int) {
	pages := uint64(tabs * pageRoom)
	_, free, total, err := fileSystem(dir)
	switch {
	case err != nil || total == 0: // not known, or not there
	case free < leastRoom:
		d.Check("browser", "", fmt.Errorf("%s has %d MB free: no page can be captured; free some", dir, free>>20))
	case free < pages:
		d.Note("browser", fmt.Sprintf("%s has %d MB free: %d pages of the largest size take up to %d MB while they are captured", dir, free>>20, tabs, pages>>20))
	}
}
