package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"holdfast"
)

const exportLong = `Writes one file with captures, their seals and all that a check needs.

telegram:@NAME/ID is that post of the channel: the captures that observed it, and of
each of them nothing but the slices that are about it, so no byte of its neighbours;
its files, the pages that it links to and its page at t.me, where they were captured.
telegram:@NAME with --since or --until is the posts that were posted then. With
--case only captures that belong to the Case.

For each post the node makes post.html, to read, and post.json, for programs, out of
what it knows. They are an exhibit of their own and sealed before the export (--pages
no: none is made; what is not sealed after --wait is left out). What they say is
stated, and is to be checked against the exhibits that they name.`

func postExportFlags(f *pflag.FlagSet, o *exportOptions) {
	f.StringVar(&o.since, "since", "", "of a channel: posts from this day (or time) on")
	f.StringVar(&o.until, "until", "", "of a channel: posts up to this day (or time)")
	f.StringVar(&o.pages, "pages", "yes", "of posts: a page to read for each, yes or no")
	f.DurationVar(&o.wait, "wait", 30*time.Second, "of posts: how long to wait for the seals of their pages")
}

// namesPosts says whether a person means posts: a Capture is named by its ID.
func namesPosts(args []string) bool {
	if len(args) != 1 {
		return false
	}
	_, err := holdfast.ParseID(args[0])
	return err != nil
}

func (c *cli) exportPostsCmd(cmd *cobra.Command, source, file string, o exportOptions) error {
	q, err := newPostQuery(source, o.since, o.until, o.caseName)
	if err != nil {
		return err
	}
	if o.pages != "yes" && o.pages != "no" {
		return usageError("--pages %.20q: yes or no", o.pages)
	}
	size, err := parseSize(o.size)
	if err = errors.Join(err, checkLanguage(o.lang), checkReason("--why", o.why)); err != nil {
		return err
	}
	n, err := c.open(cmd.Context())
	if err != nil {
		return err
	}
	defer n.Close()
	return c.exportPosts(cmd.Context(), n, q, file, o, size)
}

// exportPosts writes the Bundle of some posts. Their pages are made before anything
// of it: they are Captures like others, and a Bundle shows what is sealed.
func (c *cli) exportPosts(ctx context.Context, n *node, q postQuery, file string, o exportOptions, size int64) error {
	if err := n.refresh(ctx); err != nil {
		return err
	}
	s, err := n.findPosts(ctx, q)
	if err != nil {
		return err
	}
	if len(s.channels) > 1 {
		c.complain(fmt.Errorf("@%s was the name of %d channels, and the posts of each are exported: %s", q.name.Channel, len(s.channels), several(s.channels)))
	}
	var pages []holdfast.ID
	if o.pages == "yes" {
		if pages, err = c.postPages(ctx, s, o); err != nil {
			return err
		}
	}
	sel, at, err := s.selection(ctx, pages)
	if err != nil {
		return err
	}
	o.only = s.only
	if size > 0 {
		return c.exportParts(ctx, n, sel, at, file, o, size)
	}
	return c.export(ctx, n, sel, at, file, o)
}

// postPages makes the pages, and says how many are not sealed yet.
func (c *cli) postPages(ctx context.Context, s *shownPosts, o exportOptions) ([]holdfast.ID, error) {
	langs, err := pageLanguage(o.lang)
	if err != nil {
		return nil, err
	}
	if _, err := s.n.sealSigner(ctx); err != nil { // what cannot be sealed is not made
		return nil, fmt.Errorf("export: %w", err)
	}
	ids := slices.Collect(maps.Keys(s.seen)) // first: a page says how far they have come
	left, err := s.n.sealDerived(ctx, ids, o.wait)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if len(left) > 0 {
		c.complain(fmt.Errorf("%d of %d captures of these posts are not sealed yet (%s), so no page is made of them: export again once they are, or give more time with --wait",
			len(left), len(ids), s.n.whyOpen(left[0], "out of time")))
		return nil, nil
	}
	made, err := s.pages(ctx, langs, o.wait)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if made.left > 0 {
		c.complain(fmt.Errorf("%d of %d pages of posts are not sealed yet and not in the bundle: export again once they are, or give more time with --wait", made.left, made.left+len(made.sealed)))
	}
	if made.outside > 0 {
		c.complain(fmt.Errorf("%d posts have no page: what is known of them was captured for other cases too, and a page would show that", made.outside))
	}
	return made.sealed, nil
}
