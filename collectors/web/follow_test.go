package web

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/collectors/web/recipes"
	"holdfast/collectors/web/rules"
)

// siteShapes are pages of the structure that eight sites have, as far as their recipes go by
// it: served by us, not the sites themselves. POST's text has LONG only once it is
// expanded; beside it stands what must never be pressed.
var siteShapes = map[string]struct{ host, path, post, gone, wall, walled string }{
	"t.me": {"t.me", "/harbour/12", `<div class=tgme_widget_message_wrap><div class=tgme_widget_message><div class=tgme_widget_message_text>POST <tg-spoiler class=tgme_widget_message_spoiler EXPAND>hidden</tg-spoiler></div></div></div><a class=tme_messages_more href="/s/harbour?before=3">Load more</a>`,
		`<div class="tgme_widget_message_error">Post not found</div>`, `<div class=tgme_widget_message><div class=tgme_widget_message_text>This channel can’t be displayed because it violated local laws</div></div>`, "geo-wall"},
	"x.com": {"x.com", "/someone/status/12", `<article data-testid=tweet><div data-testid=tweetText>POST</div><button data-testid=tweet-text-show-more-link EXPAND>Show more</button><button data-testid=reply NEVER>Reply</button></article><a href="/i/flow/login" data-testid=loginButton>Log in</a>`,
		`<div data-testid=error-detail>Hmm...this page doesn’t exist. Try searching for something else.</div>`, `<div data-testid=sheetDialog>Log in to X <button data-testid=loginButton NEVER>Log in</button></div>`, "login-wall"},
	"vk.com": {"vk.com", "/wall-1_2", `<div class=post><div class=wall_post_cont>POST <button class=wall_post_more EXPAND>Показать полностью</button></div><button NEVER>Подписаться</button></div>`,
		`<div class=message_page><div class=message_page_body>Запись удалена или не существует</div></div>`, `<div class=VkIdForm>Вход ВКонтакте <button NEVER>Войти</button></div>`, "login-wall"},
	"facebook.com": {"www.facebook.com", "/page/posts/12", `<div role=main><div role=article>POST <div role=button data-see-more EXPAND>See more</div></div></div><div role=dialog id=d style="position:fixed;bottom:0">See more on Facebook<div role=button aria-label=Close onclick="document.getElementById('d').remove()">x</div></div>`,
		`<div role=main>This content isn’t available right now. When this happens, it's usually because the owner only shared it with a small group of people.</div>`, `<div role=main></div><form id=login_form action="/login/device" method=post><input name=email><input type=password><button NEVER>Log in</button></form>`, "login-wall"},
	"tiktok.com": {"www.tiktok.com", "/@a/video/12", `<div data-e2e=browse-video><div data-e2e=browse-video-desc>POST</div><button data-e2e=expand-desc EXPAND>more</button></div><p data-e2e=view-more-1 role=button onclick="fetch('/replies');this.remove()">View 3 replies</p>`,
		`<div class=css-DivErrorContainer><p>Video currently unavailable</p></div>`, `<div data-e2e=browse-video>POST</div><div class=captcha-verify-container style="position:fixed;left:0;top:0;width:900px;height:600px">Drag the slider</div>`, "bot-wall"},
	"youtube.com": {"www.youtube.com", "/watch", `<ytd-watch-flexy><div id=primary-inner><ytd-watch-metadata>POST <ytd-text-inline-expander><tp-yt-paper-button id=expand EXPAND>...more</tp-yt-paper-button></ytd-text-inline-expander></ytd-watch-metadata></div></ytd-watch-flexy><ytd-comments>comments</ytd-comments>`,
		`<yt-player-error-message-renderer style="display:block">Video unavailable<br>This video has been removed by the uploader</yt-player-error-message-renderer>`, `<yt-player-error-message-renderer style="display:block">Sign in to confirm you’re not a bot</yt-player-error-message-renderer>`, "bot-wall"},
	"bsky.app": {"bsky.app", "/profile/a.example/post/3k", `<div data-testid=postThreadScreen><div data-testid=postThreadItem-by-a.example>POST <div data-testid=contentHider-post><button aria-label="Show content" EXPAND>Show</button></div></div></div>`,
		`<div data-testid=postThreadScreen>Post not found<br>The post may have been deleted.</div>`, `<main data-testid=profileView>Sign-in Required. This account has requested that users sign in to view their profile.</main>`, "login-wall"},
	"mastodon": {"social.example", "/@a/12", `<div class=app><div class=detailed-status>POST <button class=status__content__spoiler-link EXPAND>Show more</button></div><button class=load-more onclick="fetch('/replies');this.remove()">Load more</button></div>`,
		`<div class=app><div class=regeneration-indicator>The page you are looking for isn't here.</div></div>`, `<div class=app><div class=error-column>This profile may not be available on this server.</div></div>`, "login-wall"},
}

func shapedSite() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := strings.Cut(r.Host, ":")
		body := ""
		for _, s := range siteShapes {
			if s.host == host && s.path == r.URL.Path {
				body = map[string]string{"post": s.post, "gone": s.gone, "wall": s.wall}[r.URL.RawQuery]
			}
		}
		if body == "" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		body = strings.NewReplacer("EXPAND", `onclick="fetch('/expanded');this.outerHTML='LONG'"`, "NEVER", `onclick="fetch('/never')"`).Replace(body)
		// As such pages do, it comes by script, after the document.
		fmt.Fprintf(w, "<title>%s</title><div id=%s><div id=root>Loading</div></div><script>setTimeout(()=>document.getElementById('root').innerHTML=`%s`,300)</script>", host, map[bool]string{true: "mastodon", false: "app"}[host == "social.example"], body)
	})
}

// TestRecipes: each recipe on pages of the structure that it is for: the post is expanded, its
// own views are made; a post that is gone, and a wall, are told; nothing else is pressed.
func TestRecipes(t *testing.T) {
	root := newCA(t)
	roots := root.pool()
	c := newCollector(t, Options{Resolver: names{"*": loopback}, Roots: roots})
	for name, shape := range siteShapes {
		s := serve(t, shapedSite(), root.issue(t, shape.host, time.Now().Add(time.Hour)))
		for _, kind := range []string{"post", "gone", "wall"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				before := len(s.asked())
				a, k := collect(t, c, collectors.Request{Source: "https://" + shape.host + ":" + s.port() + shape.path + "?" + kind, AllowPrivate: true})
				asked := s.asked()[before:]
				notes := strings.Join(a.Collection.Notes, "\n")
				if !strings.Contains(notes, "The recipe "+name+" (sha256:") || !strings.Contains(notes, "of the program, not tried on the live site") {
					t.Errorf("notes %s", notes)
				}
				if slices.ContainsFunc(asked, func(h string) bool {
					return strings.Contains(h, "/never") || strings.Contains(h, "before=") || strings.Contains(h, "POST")
				}) {
					t.Errorf("asked %q", asked)
				}
				want := map[string]string{"gone": "not-found", "wall": shape.walled}[kind]
				var got []string
				for _, r := range a.Reasons {
					got = append(got, r.Code)
				}
				if strings.Join(got, " ") != want || (want == "") != (a.Outcome == collectors.Complete) {
					t.Errorf("%s %v, want %q", a.Outcome, a.Reasons, want)
				}
				if kind == "post" {
					checkPost(t, a, k, asked)
				}
			})
		}
	}
}

func checkPost(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper, asked []string) {
	text := string(object(t, a, k, "post.txt"))
	if !strings.Contains(text, "POST") || !strings.Contains(text, "LONG") || !slices.Contains(asked, "GET /expanded") {
		t.Errorf("the post's text is %q, asked %q", text, asked)
	}
	if p := object(t, a, k, "post.png"); !strings.HasPrefix(string(p), "\x89PNG") {
		t.Error("no picture of the post")
	}
	if acts := string(object(t, a, k, "actions.json")); !strings.Contains(acts, `"for":"recipe `) {
		t.Errorf("actions %s", acts)
	}
}

// A recipe of the node's directory is followed in place of the program's, and told by its
// digest; one that is bad stops the Collector from being made.
func TestRecipeDirectory(t *testing.T) {
	dir := t.TempDir()
	doc := `{"version":1,"name":"harbour","tried":"tried by its author","hosts":["localhost"],"steps":[{"press":".open","times":2},{"press":"#buy"},{"expand":"a"}],"post":".it","marks":[{"reason":"not-found","at":".it","text":["never was"]}]}`
	if err := os.WriteFile(filepath.Join(dir, "harbour.json"), []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<title>x</title><button class=open onclick="document.body.insertAdjacentHTML('beforeend','<p class=it>it never was here')">Unroll</button><button id=buy onclick="fetch('/buy')">Buy now</button><a href="/elsewhere">on</a>`)
	}), nil)
	c := newCollector(t, Options{Resolver: names{"*": loopback}, Recipes: dir})
	a, k := collect(t, c, collectors.Request{Source: "http://localhost:" + s.port() + "/", AllowPrivate: true})
	r, err := recipes.Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(a.Collection.Notes, "\n"); !strings.Contains(notes, "The recipe harbour ("+r.Digest.String()+", of the node, tried by its author)") || !strings.Contains(notes, "2 elements were pressed") {
		t.Errorf("notes %s", notes)
	}
	if text := string(object(t, a, k, "post.txt")); text != "it never was here" || !hasReason(a, "not-found") {
		t.Errorf("%q %v", text, a.Reasons)
	}
	if asked := s.asked(); slices.Contains(asked, "GET /buy") || slices.Contains(asked, "GET /elsewhere") {
		t.Errorf("%q", asked)
	}
	if err := os.WriteFile(filepath.Join(dir, "bad.json"), []byte(`{"version":1,"name":"bad","tried":"no","hosts":["h"],"steps":[{"run":"x"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Browser: browserPath(t), Dir: t.TempDir(), Recipes: dir}); err == nil || !strings.Contains(err.Error(), "bad.json") {
		t.Errorf("a bad recipe: %v", err)
	}
}

// Where the post itself is seen, words do not make a page that is not there; a status does.
func TestPostBesideWords(t *testing.T) {
	told, err := rules.Default()
	if err != nil {
		t.Fatal(err)
	}
	r, err := recipes.Parse([]byte(`{"version":1,"name":"n","tried":"no","hosts":["h"],"post":".p"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		there  bool
		status int
		want   int
	}{{true, 200, 0}, {false, 200, 1}, {true, 404, 1}} {
		x := &capture{manner: manner{rules: told}, view: &view{followed: &followed{recipe: r, there: test.there}}}
		if got := x.siteWalls(rules.Page{Status: test.status, Title: "Page not found"}); len(got) != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}
