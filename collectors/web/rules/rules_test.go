package rules

import (
	"errors"
	"strings"
	"testing"
)

func defaults(t testing.TB) *Rules {
	t.Helper()
	r, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// mark is what a page shows for a selector of the rules.
func mark(t testing.TB, r *Rules, at string, covers float64, text string) (out []Mark) {
	t.Helper()
	for i, s := range r.Selectors() {
		if s.At == at {
			out = append(out, Mark{Selector: i, Covers: covers, Text: text, Holds: s.Holds != ""})
		}
	}
	if out == nil {
		t.Fatalf("no rule looks for %s", at)
	}
	return out
}

func codes(ws []Wall) string {
	var out []string
	for _, w := range ws {
		out = append(out, w.Code)
	}
	return strings.Join(out, " ")
}

func page(title, text string) Page {
	return Page{Status: 200, Asked: "https://site.example/post/1", Final: "https://site.example/post/1", Title: title, Text: text, Length: len([]rune(text))}
}

func TestWalls(t *testing.T) {
	r := defaults(t)
	with := func(p Page, change func(*Page)) Page { change(&p); return p }
	for name, test := range map[string]struct {
		page Page
		want string
	}{
		"cloudflare by its header":     {with(page("Just a moment...", ""), func(p *Page) { p.Status = 403; p.Fields = map[string]string{"cf-mitigated": "challenge"} }), "bot-wall"},
		"cloudflare by title and text": {page("Just a moment...", "site.example needs to review the security of your connection. Verify you are human by completing the action below."), "bot-wall"},
		"captcha alone":                {with(page("", "Please complete the CAPTCHA"), func(p *Page) { p.Marks = mark(t, r, `iframe[src*="hcaptcha.com/"]`, 0.05, "") }), "bot-wall"},
		"datadome":                     {with(page("site", ""), func(p *Page) { p.Status = 403; p.Fields = map[string]string{"x-datadome": "protected"} }), "bot-wall"},
		"google sorry":                 {with(page("https://www.google.com/search", ""), func(p *Page) { p.Final = "https://www.google.com/sorry/index?q=1" }), "bot-wall"},
		"russian":                      {page("Вы не робот?", "Подтвердите, что запросы отправляли вы, а не робот"), "bot-wall"},
		"chinese":                      {page("安全验证", "请完成安全验证后继续访问"), "bot-wall"},
		"arabic":                       {page("", "تحقق من أنك إنسان"), "bot-wall"},
		"captcha over the page":        {with(page("A video", strings.Repeat("words ", 900)), func(p *Page) { p.Marks = mark(t, r, "#captcha-verify-container", 0.3, "") }), "bot-wall"},

		"451":            {with(page("", ""), func(p *Page) { p.Status = 451 }), "geo-wall"},
		"german country": {page("Video", "Dieses Video ist in deinem Land nicht verfügbar."), "geo-wall"},
		"french country": {page("", "Ce contenu n’est pas disponible dans votre pays."), "geo-wall"},
		"russian 403":    {with(page("", "Доступ к информационному ресурсу ограничен на основании Федерального закона"), func(p *Page) { p.Status = 403 }), "geo-wall"},

		"404":                 {with(page("nginx", "nothing"), func(p *Page) { p.Status = 404 }), "not-found"},
		"soft 404":            {page("Page not found | Site", "Sorry. Try the front page."), "not-found"},
		"removed post":        {page("X", "Hmm...this page doesn’t exist. Try searching for something else."), "not-found"},
		"youtube":             {page("- YouTube", "Video unavailable\nThis video is private"), "not-found"},
		"ukrainian":           {page("Сторінку не знайдено", ""), "not-found"},
		"chinese removed":     {page("微博", "该内容已被删除"), "not-found"},
		"heading":             {with(page("Site", strings.Repeat("menu ", 120)), func(p *Page) { p.Heading = "Seite nicht gefunden" }), "not-found"},
		"login form instead":  {with(page("Log in | Site", "Log in to see this. E-mail Password"), func(p *Page) { p.Marks = mark(t, r, "input[type=password]", 0.01, "") }), "login-wall"},
		"login over the page": {with(page("Photo", strings.Repeat("words ", 900)), func(p *Page) { p.Marks = mark(t, r, "[role=dialog]", 0.4, "Log in or sign up to see more") }), "login-wall"},
		"consent of youtube":  {with(page("Before you continue to YouTube", ""), func(p *Page) { p.Final = "https://consent.youtube.com/m?continue=x" }), "consent-wall"},
		"pay or consent":      {page("Mit Werbung weiterlesen oder Pur-Abo", strings.Repeat("wort ", 200)), "consent-wall"},

		// What only speaks of it is none.
		"an article about captchas":       {page("How CAPTCHA works, and why “verify you are human” annoys", "Please complete the CAPTCHA. I'm not a robot. "+strings.Repeat("The history of the test is long. ", 200)), ""},
		"an article with a captcha below": {with(page("News", strings.Repeat("words ", 900)+" I'm not a robot"), func(p *Page) { p.Marks = mark(t, r, ".g-recaptcha", 0.02, "") }), ""},
		"a contact form with a captcha":   {with(page("Contact us", "Write to us. Name. E-mail. Message. "+strings.Repeat("We answer soon. ", 20)), func(p *Page) { p.Marks = mark(t, r, ".g-recaptcha", 0.02, "") }), ""},
		"an invisible captcha":            {with(page("Short page", "Hello. I'm not a robot, says the poet, who goes on for more than three hundred characters in this little piece "+strings.Repeat("of prose ", 40)), func(p *Page) { p.Marks = mark(t, r, `iframe[src*="hcaptcha.com/"]`, 0, "") }), ""},
		"an article about error 404":      {page("What “404 Page not found” means, explained", strings.Repeat("The server answers with a status. ", 100)), ""},
		"an article about geoblocking":    {page("Why videos are not available in your country", strings.Repeat("Rights are sold by territory. ", 100)), ""},
		"a comment that says it":          {page("Thread", "This post was deleted. "+strings.Repeat("Another answer. ", 60)), ""},
		"a page with a login in its menu": {with(page("Forum", "Log in. "+strings.Repeat("Posts of people. ", 100)), func(p *Page) { p.Marks = mark(t, r, "input[type=password]", 0.01, "") }), ""},
		"the login page that was asked for": {with(page("Log in", "Log in"), func(p *Page) {
			p.Asked = "https://site.example/login"
			p.Marks = mark(t, r, "input[type=password]", 0.01, "")
		}), ""},
		"a small dialog":                  {with(page("Photo", strings.Repeat("words ", 900)), func(p *Page) { p.Marks = mark(t, r, "[role=dialog]", 0.05, "Log in for more") }), ""},
		"a dialog of something else":      {with(page("Photo", strings.Repeat("words ", 900)), func(p *Page) { p.Marks = mark(t, r, "[role=dialog]", 0.5, "A picture by a blogging inspector") }), ""},
		"a short page":                    {page("fine", "fine"), ""},
		"an empty page":                   {page("", ""), ""},
		"a plain 500":                     {with(page("", "oops"), func(p *Page) { p.Status = 500 }), ""},
		"another host that ends the same": {with(page("", ""), func(p *Page) { p.Final = "https://notconsent.youtube.com.evil.example/" }), ""},
	} {
		got := r.Walls(test.page)
		if codes(got) != test.want {
			t.Errorf("%s: %v, want %q", name, got, test.want)
		}
		for _, w := range got {
			if !strings.HasPrefix(w.Why, "rule: ") || len(w.Why) > 500 {
				t.Errorf("%s: %q", name, w.Why)
			}
		}
	}
}

func TestAnswer(t *testing.T) {
	r := defaults(t)
	two := []Button{{Index: 4, Text: "Settings"}, {Index: 5, Text: "Accept all"}, {Index: 6, Text: "  REJECT ALL "}}
	for name, test := range map[string]struct {
		b    Banner
		want Answer
	}{
		"refuses where it can": {Banner{Platform: -1, Text: "We use cookies", Buttons: two}, Answer{6, "refused", "  REJECT ALL ", "words"}},
		"accepts else":         {Banner{Platform: -1, Text: "We use cookies", Buttons: two[:2]}, Answer{5, "accepted", "Accept all", "words"}},
		"french":               {Banner{Platform: -1, Text: "Nous utilisons des cookies", Buttons: []Button{{1, "Tout accepter", "", false, false}, {2, "Continuer sans accepter →", "", false, false}}}, Answer{2, "refused", "Continuer sans accepter →", "words"}},
		"arabic":               {Banner{Platform: -1, Text: "نستخدم ملفات تعريف الارتباط", Buttons: []Button{{1, "قبول الكل", "", false, false}, {2, "رفض الكل", "", false, false}}}, Answer{2, "refused", "رفض الكل", "words"}},
		"chinese":              {Banner{Platform: -1, Text: "本网站使用 Cookie", Buttons: []Button{{1, "全部接受", "", false, false}, {2, "全部拒绝", "", false, false}}}, Answer{2, "refused", "全部拒绝", "words"}},
		"a known platform by its selector, in any language": {Banner{Platform: 0, Text: "…", Buttons: []Button{{1, "Jah", "", false, false}, {2, "Ei", "", false, false}}, Refuse: []int{1}}, Answer{2, "refused", "Ei", "OneTrust"}},
		"no words of consent":                               {Banner{Platform: -1, Text: "Win a prize", Buttons: two}, Answer{}},
		"a newsletter that mentions privacy":                {Banner{Platform: -1, Text: "Our privacy policy. Your e-mail", Fields: 1, Buttons: two}, Answer{}},
		"a link to another page":                            {Banner{Platform: -1, Text: "cookies", Buttons: []Button{{1, "Accept", "", true, false}}}, Answer{}},
		"no button that answers":                            {Banner{Platform: -1, Text: "cookies", Buttons: two[:1]}, Answer{}},
		"a recipe for cookies":                              {Banner{Platform: -1, Text: strings.Repeat("Take flour for the cookies. ", 200), Buttons: two}, Answer{}},
	} {
		got, ok := r.Answer(test.b)
		if got != test.want || ok != (test.want != Answer{}) {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

func TestMore(t *testing.T) {
	r := defaults(t)
	for _, text := range []string{"Load more", "LOAD MORE…", "Show more comments", "View 12 more replies", "view all 1,204 comments", "Show more (14)", "Показать ещё", "Показать 3 ответа",
		"Mehr laden", "Voir plus", "加载更多", "عرض المزيد", "Ver más ▾", "もっと見る", "Load more posts"} {
		if !r.More(Button{Text: text}) {
			t.Errorf("%q is not pressed", text)
		}
	}
	for _, b := range []Button{{Text: "Load more", Leaves: true}, {Text: "Load more", Form: true}, {Text: "Load more", Type: "submit"}, {Text: "Load more", Type: "image"},
		{Text: "Buy more"}, {Text: "Subscribe to read more"}, {Text: "Log in to see more"}, {Text: "Sign up"}, {Text: "More"}, {Text: "Learn more"}, {Text: "Delete"}, {Text: "Report post"},
		{Text: "Add to cart"}, {Text: "Купить"}, {Text: "Войти, чтобы читать далее"}, {Text: "Donate"}, {Text: "Show more ways to pay"}, {Text: "view 2 more offers"}, {Text: ""}, {Text: "Follow"},
		{Text: "Load more " + strings.Repeat("of everything that there is ", 10)}} {
		if r.More(b) {
			t.Errorf("%+v is pressed", b)
		}
	}
	if !r.Presses(Button{Text: "Expand this post"}) || r.Presses(Button{Text: "Log in"}) || r.Presses(Button{Text: "Anything", Leaves: true}) || r.Presses(Button{Text: "Anything", Type: "submit"}) {
		t.Error("what a recipe may press")
	}
}

// Rules that would hold for every page, or for every article, are refused.
func TestBadRules(t *testing.T) {
	const head = `{"version":1,"words":{"w":{"en":["word"]}},"rules":[`
	for name, doc := range map[string]string{
		"not JSON":        `{`,
		"another version": `{"version":2,"words":{},"rules":[]}`,
		"unknown member":  head + `{"name":"n","wall":"bot-wall","status":[403],"titel":"w"}]}`,
		"unknown wall":    head + `{"name":"n","wall":"paywall","status":[402]}]}`,
		"every page":      head + `{"name":"n","wall":"bot-wall","most":100}]}`,
		"every article":   head + `{"name":"n","wall":"bot-wall","text":"w"}]}`,
		"no such words":   head + `{"name":"n","wall":"bot-wall","text":"x","most":10}]}`,
	} {
		if err := read([]byte(doc), &wallRules{}); !errors.Is(err, ErrRules) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := read([]byte(`{"version":1,"about":{"en":["a"]},"refuse":{"en":["ok"]},"accept":{"en":["OK"]},"platforms":[]}`), &consentRules{}); !errors.Is(err, ErrRules) {
		t.Errorf("a word that refuses and accepts: %v", err)
	}
	if err := read([]byte(`{"version":1,"more":{"en":["a"]},"never":{"en":["b"]},"count":["more"]}`), &moreRules{}); !errors.Is(err, ErrRules) {
		t.Errorf("an expression over a part of a label: %v", err)
	}
}

func TestHas(t *testing.T) {
	for _, test := range []struct{ text, phrase, want string }{
		{"Read my blog index", "log in", ""}, {"Please LOG\u00a0 IN now", "log in", "log in"}, {"(log in)", "log in", "log in"}, {"请登录查看", "登录", "登录"},
		{"Nicht verfügbarer Inhalt", "nicht verfügbar", ""}, {"This page isn’t available", "this page isn't available", "this page isn't available"}, {"", "x", ""}, {"x", "", ""},
		{"входная", "вход", ""}, {"Вход.", "вход", "вход"}, {"blog in, log in", "log in", "log in"},
	} {
		if got := Has(test.text, []string{test.phrase}); got != test.want {
			t.Errorf("%q in %q: %q", test.phrase, test.text, got)
		}
	}
}
