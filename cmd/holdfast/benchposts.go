package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/cmd/internal/cputime"
	"holdfast/hashing"
	"holdfast/pipeline"
)

// benchPosts times the index stage: captures of 100 posts each, so many posts in all,
// from the queue to durable in the catalog and answered.
func (c *cli) benchPosts(ctx context.Context, count int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	n, err := c.benchNode(ctx, dir)
	if err != nil {
		return err
	}
	defer n.Close()
	if err := n.refresh(ctx); err != nil {
		return err
	}
	const per = 100
	captures := (count + per - 1) / per
	if err := n.fillPosts(ctx, captures, per); err != nil {
		return err
	}
	if _, err := (&pipeline.Normalise{Queue: n.queue, By: n.normalisers()}).Drain(ctx); err != nil {
		return err
	}
	before, begun := cputime.Own(), time.Now()
	if _, err := n.index.Drain(ctx); err != nil {
		return err
	}
	spent, wall := cputime.Own()-before, time.Since(begun)
	known := 0
	for _, err := range n.cat.Posts(ctx, catalog.PostQuery{Channel: "7"}) {
		if err != nil {
			return err
		}
		known++
	}
	if known != captures*per {
		return fmt.Errorf("only %d of %d posts are known", known, captures*per)
	}
	rate := float64(known) / wall.Seconds()
	c.figure("posts", rate, "posts indexed per second", rate/3000, fmt.Sprintf("the budget of 3,000 (%.0f per CPU-second)", float64(known)/spent.Seconds()))
	return nil
}

func (n *node) fillPosts(ctx context.Context, captures, per int) error {
	head, err := n.outbox.Head(ctx, n.set.Unfiled)
	if err != nil {
		return err
	}
	var batch []pipeline.Message
	for i := range captures {
		body, err := benchAnswer(i, per)
		if err != nil {
			return err
		}
		cp := n.benchCapture(head, strconv.Itoa(i), holdfast.Object{Digest: hashing.Of(body), Name: "posts.jsonl", Role: catalog.RolePosts, Size: int64(len(body)), Type: "application/jsonl"})
		cp.Inline = map[string][]byte{"posts.jsonl": body}
		msg, err := cp.Encode()
		if err != nil {
			return err
		}
		batch = append(batch, pipeline.Message{ID: cp.Manifest.ID, Body: msg})
	}
	_, err = n.queue.Publish(ctx, nil, batch...)
	return err
}

// benchAnswer is posts.jsonl of so many posts, each as long as posts usually are.
func benchAnswer(i, per int) ([]byte, error) {
	now := holdfast.At(time.Now())
	lines := []any{map[string]any{"channel": "7", "count": per, "kind": "posts", "method": "messages.getHistory", "names": []string{"bench"}, "pts": i, "received": now,
		"title": "bench", "training": true, "unread": nil, "version": holdfast.Version}}
	for k := range per {
		text := fmt.Sprintf("%d of %d: %s", k, i, strings.Repeat("some words of a post. ", 12))
		d := hashing.Of([]byte(text))
		lines = append(lines, map[string]any{"content": d, "forwards": k, "id": 1 + i*per + k, "kind": "message", "links": []string{"https://bench.invalid/page"}, "posted": now,
			"reactions": k, "text": text, "text_digest": d, "views": 1000 + k})
	}
	var out bytes.Buffer
	for _, l := range lines {
		b, err := canon.Marshal(l)
		if err != nil {
			return nil, err
		}
		out.Write(append(b, '\n'))
	}
	return out.Bytes(), nil
}
