package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/go-rod/rod/lib/proto"

	"holdfast/collectors/web/recipes"
	"holdfast/collectors/web/rules"
)

// followBudget is a part of the time, one of so many, for the steps of a recipe.
const followBudget = 6

// followed is what came of a recipe.
type followed struct {
	recipe  *recipes.Recipe
	pressed int
	cut     bool // the time was over before the steps were
	there   bool // the post's own element was seen when the views were made
	seen    []recipes.Seen
}

// findScript gives the elements of a selector that are seen.
const findScript = `(selector => {` + lookLibrary + buttonLibrary + `
  const out = [];
  for (const e of all(document, selector)) { if (out.length >= 100) break; if (seen(e) && !is(e, ':disabled')) out.push(button(e)) }
  return JSON.stringify(out);
})(%s)`

// thereScript tells whether anything of a selector is seen; hidden, whether it is there at
// all.
const thereScript = `((selector, hidden) => {` + lookLibrary + `
  return JSON.stringify(all(document, selector).some(e => hidden || seen(e)));
})(%s, %t)`

// standScript gives what stands for the marks of a recipe, and where the post is.
const standScript = `((marks, post) => {` + lookLibrary + `
  const out = [];
  marks.forEach((m, i) => {
    const unless = !!m.unless && all(document, m.unless).some(seen);
    for (const e of all(document, m.at).slice(0, 5)) if (seen(e)) out.push({mark: i, text: text(e, 4000), unless});
  });
  const e = post ? all(document, post).find(seen) : null, b = e && Element.prototype.getBoundingClientRect.call(e);
  return JSON.stringify({seen: out.slice(0, 200), there: !!e, x: b ? b.left + scrollX : 0, y: b ? b.top + scrollY : 0, width: b ? b.width : 0, height: b ? b.height : 0});
})(%s, %s)`

// postScript is the visible text of the post.
const postScript = `(post => {` + lookLibrary + `
  const e = all(document, post).find(seen);
  return e ? text(e, 1 << 20) : '';
})(%s)`

// recipe picks the one to follow: by the address where the page is, else by the one that
// was asked for.
func (t *tab) recipe(ctx context.Context, s scene, asked string) *recipes.Recipe {
	if t.manner.recipes == nil {
		return nil
	}
	var at string
	t.saw(func() { at = t.document })
	for _, r := range append(t.manner.recipes.For(at), t.manner.recipes.For(asked)...) {
		if r.Signs == "" || t.there(ctx, s, r.Signs, true) {
			return r
		}
	}
	return nil
}

func (t *tab) there(ctx context.Context, s scene, selector string, hidden bool) (there bool) {
	return s.see(ctx, fmt.Sprintf(thereScript, asJSON(selector), hidden), &there) == nil && there
}

// follow takes the steps of the recipe for this page, if there is one. Like scrolling it is
// best effort: what a step does not find is no reason, for a site changes.
func (t *tab) follow(ctx context.Context, asked string, limit time.Duration, m *meter, v *view) {
	s, err := t.scene(ctx)
	if err != nil {
		return
	}
	r := t.recipe(ctx, s, asked)
	if r == nil {
		return
	}
	v.followed = &followed{recipe: r}
	end, at := time.Now().Add(limit), t.moved()
	for _, step := range r.Steps {
		if ctx.Err() != nil || t.moved() != at || time.Now().After(end) || m.received() >= m.maxBytes/2 {
			v.followed.cut = true
			return
		}
		switch {
		case step.Wait != "":
			t.awaits(ctx, s, step, end)
		case step.Press != "":
			t.presses(ctx, s, step.Press, max(step.Times, 1), false, end, m, v)
		case step.Expand != "":
			times := step.Times
			if times == 0 {
				times = 20
			}
			t.presses(ctx, s, step.Expand, times, true, end, m, v)
		}
	}
}

func (t *tab) awaits(ctx context.Context, s scene, step recipes.Step, end time.Time) {
	if until := time.Now().Add(time.Duration(step.MS) * time.Millisecond); until.Before(end) {
		end = until
	}
	for ctx.Err() == nil && !t.there(ctx, s, step.Wait, false) && time.Now().Before(end) {
		pause(ctx, 60*time.Millisecond)
	}
}

// presses presses what a selector finds: each once, or the first as long as it brings
// something. What the rules do not let a recipe press is passed over.
func (t *tab) presses(ctx context.Context, s scene, selector string, times int, each bool, end time.Time, m *meter, v *view) {
	vain := map[int]bool{}
	for n := 0; n < times && ctx.Err() == nil && time.Now().Before(end); n++ {
		var list []buttonSeen
		if s.see(ctx, fmt.Sprintf(findScript, asJSON(selector)), &list) != nil {
			return
		}
		b, found := rules.Button{}, false
		for _, u := range list {
			if b = u.button(); !vain[b.Index] && t.manner.rules.Presses(b) {
				found = true
				break
			}
		}
		if !found {
			return
		}
		effect := t.press(ctx, s, b, m, min(pressEach, time.Until(end)))
		vain[b.Index] = each || effect != effectMore
		v.followed.pressed++
		v.did(t, act{What: "press", For: "recipe " + v.followed.recipe.Name, Text: clean(b.Text), By: selector, Effect: effect})
		if effect == effectLeft {
			v.because("page-moved", fmt.Errorf("the page went on to another document when %.60q was pressed", clean(b.Text)))
			return
		}
	}
}

// stand looks for the marks of the recipe and makes the post's own views.
func (t *tab) stand(ctx context.Context, world proto.RuntimeExecutionContextID, dir string, v *view) error {
	f := v.followed
	if f == nil {
		return nil
	}
	var at struct {
		Seen                []recipes.Seen
		There               bool
		X, Y, Width, Height float64
	}
	s := scene{t.session, world}
	if err := s.see(ctx, fmt.Sprintf(standScript, asJSON(f.recipe.Marks), asJSON(f.recipe.Post)), &at); err != nil {
		return nil // the marks are not known then; the page's own views say what there is
	}
	if f.seen, f.there = at.Seen, at.There; !at.There {
		return nil
	}
	what := fmt.Sprintf("the element %s, by the recipe %s", f.recipe.Post, f.recipe.Name)
	text := file{name: "post.txt", role: "post-text", mediaType: "text/plain", derived: made("extract-text", "visible text of "+what)}
	if err := v.save(ctx, dir, text, 5*time.Second, func(ctx context.Context, w io.Writer) error {
		return t.text(ctx, world, fmt.Sprintf(postScript, asJSON(f.recipe.Post)), w)
	}); err != nil {
		return err
	}
	clip := &proto.PageViewport{X: math.Max(at.X, 0), Y: math.Max(at.Y, 0), Width: math.Min(at.Width, 4*viewWidth), Scale: 1}
	clip.Height = math.Min(at.Height, math.Min(maxTile, math.Floor(maxPicture/math.Max(clip.Width, 1))))
	picture := file{name: "post.png", role: "post-screenshot", mediaType: "image/png", derived: made("screenshot", "of "+what)}
	return t.alone(ctx, func() error {
		return v.save(ctx, dir, picture, 10*time.Second, func(ctx context.Context, w io.Writer) error {
			if !(clip.Width >= 1 && clip.Height >= 1) {
				return errors.New("the element has no size")
			}
			return t.shoot(ctx, clip, w)
		})
	})
}

// note says which recipe was followed and what came of it.
func (f *followed) note() string {
	r, whose := f.recipe, "of the node"
	if r.Own {
		whose = "of the program"
	}
	post := ""
	switch {
	case r.Post == "":
	case f.there:
		post = "; the post's own element was there (post.png, post.txt)"
	default:
		post = "; the post's own element was not there"
	}
	if f.cut {
		post += "; not all of its steps were taken"
	}
	return fmt.Sprintf("The recipe %s (%s, %s, %s) was followed: %d elements were pressed%s.", r.Name, r.Digest, whose, strings.TrimSuffix(r.Tried, "."), f.pressed, post)
}

// siteWalls are those by the recipe first, then those by the rules; where the post itself is
// seen, no words make a page that is not there.
func (x *capture) siteWalls(main rules.Page) []rules.Wall {
	f := x.view.followed
	if f == nil {
		return x.manner.rules.Walls(main)
	}
	out := f.recipe.Walls(f.seen)
	for _, w := range x.manner.rules.Walls(main) {
		if w.Code == "not-found" && f.there && main.Status < 400 {
			continue
		}
		out = append(out, w)
	}
	return out
}
