package search_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"holdfast/search"
)

func words(s string) string {
	w, _ := search.Index("", s)
	return w
}

// TestWords: what a text becomes, script by script.
func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"Fire at the Harbour, 3 dead!":               "fire at the harbour 3 dead",
		"l'École d'été — Žižkov Łódź Straße STRASSE": "l ecole d ete zizkov lodz strasse strasse",
		"Пожар в порту. Ещё, ещЁ; йод, мо\u0301й":    "пожар в порту еще еще йод мой",
		"Київ, їжа":       "київ їжа",
		"Σίσυφος ΣΊΣΥΦΟΣ": "σισυφοσ σισυφοσ",
		"مُحَمَّد أحمد إلى آخر مؤسسة كتـــاب":  "محمد احمد الي اخر موسسه كتاب",
		"کتاب می\u200cخواهم ۱۲۳ ١٢٣":           "كتاب مي خواهم 123 123",
		"\ufe8d\ufedf\ufedc\ufe98\ufe8e\ufe8f": "الكتاب",
		"בְּרֵאשִׁית שלום":                     "בראשית שלום",
		"港口发生火灾abc。東京":                         "港 口 发 生 火 灾 abc 東 京",
		"がぎ ｶﾞ ラーメン":                           "が ぎ ガ ラ ー メ ン",
		"불이 났다":                                "불이 났다",
		"ไฟไหม้":                               "ไ ฟ ไ ห ม้",
		"हिन्दी १२":                            "हिंदी 12",
		"सम्बन्ध संबंध क़ानून कानून चाँद न् ": "संबंध संबंध कानून कानून चांद न्",
		"м'ята м’ята мʼята o‘zbek oʻzbek":     "м ята м ята м ята o zbek o zbek",
		"IŞIK ışık İstanbul":                 "isik isik istanbul",
		"ڪتاب كتاب هفتۀ ہفتہ":                "كتاب كتاب هفته هفته",
		"a\u200cb":                           "ab",
		"Ｆｉｒｅ ﬁre soft\u00adhyphen a\u202eb": "fire fire softhyphen ab",
		"🔥🇺🇦 x☢\ufe0f":                       "🔥 🇺 🇦 x ☢",
		"harbour_news x.y/z":                 "harbour news x y z",
		"a\xffb\x00c":                        "a b c",
		strings.Repeat("x", 100):             strings.Repeat("x", 48) + " " + strings.Repeat("x", 48) + " " + "xxxx",
		"\u0301 \u0301a":                     "a",
		"":                                   "",
	} {
		if got := words(text); got != want {
			t.Errorf("%q is\n%q, want\n%q", text, got, want)
		}
	}
}

func TestHandles(t *testing.T) {
	for text, want := range map[string]string{
		"see @Harbour_News and @x1, not bob@example.org": "harbour_news x1",
		"https://t.me/Port_Watch/123 xt.me/nope t.me/s":  "port_watch",
		"telegram.me/abc evil-t.me/nope":                 "abc",
		"@用户名 @_a_b_ @é":                                 "用户名 a_b",
		"＠wide @" + strings.Repeat("a", 99):              strings.Repeat("a", 40),
	} {
		var got []string
		search.Handles(text, func(h string) bool { got = append(got, h); return true })
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q has %q, want %q", text, s, want)
		}
	}
}

// TestMatch: questions and texts that answer them, or do not.
func TestMatch(t *testing.T) {
	doc := search.Doc{Title: "Evening News", Text: "Fire at the harbour, says @Harbour_News. Пожар в порту. حريق في الميناء. 港口发生火灾。 https://example.org/a",
		Addresses: []string{"https://xn--e1afmkfd.xn--p1ai/%D0%BF%D0%BE%D1%80%D1%82?a=1", "https://example.org/port/pier-3"}, Hashes: []string{strings.Repeat("ab", 32)}}
	for q, want := range map[string]bool{
		"fire": true, "FIRE harbour": true, `"fire at the harbour"`: true, `"at fire"`: false, "fire -smoke": true, "fire -harbour": false, "smoke": false,
		"harb*": true, "arb*": false, "пожар": true, "порт*": true, "ПОРТУ": true, "الميناء": true, "أَلميناء": true, "火灾": true, "灾火": false, "口发": true, "“港口 发生”": true,
		"@harbour": true, "@bour_n": true, "@news": true, "@NEWS -@port": true, "@pier": false, "url:example.org": true, "url:https://example.org/port": true,
		"url:example.org/pier": false, "url:пример.рф/порт": true, "-url:example.org fire": false, "fire url:pier*": true, "url:evil": false,
		"hash:abababab": true, "hash:SHA256:" + strings.Repeat("AB", 32): true, "hash:00000000": false, "hash:sha256:" + strings.Repeat("ab", 16): true, `"news fire"`: false, "evening fire": true,
		"fire –smoke": true, "fire –harbour": false, "fire – harbour": true, "fire －harbour": false, "fire −harbour": false, "＂fire at＂": true, "＠harbour": true, "url：example.org": true, "harb＊": true,
		"\u200f-harbour fire": false, "\u2067“fire at”\u2069": true, "„fire at”": true, "„fire at“": true, "”at fire”": false, "»fire at«": true, "»fire at»": true, "「港口」": true, "『灾火』": false, "《火灾》": true, "harb*\u200f": true,
		"@harbour_news,": true, "@harbour_news.": true,
		"fire & harbour - !": true, `-"fire at" пожар`: false, `-"at fire" пожар`: true, "«пожар в»": true,
	} {
		p, err := search.Parse(q)
		if err != nil {
			t.Errorf("%q: %v", q, err)
		} else if got := p.Match(doc); got != want {
			t.Errorf("%q: %t, want %t (%+v)", q, got, want, p)
		}
	}
}

// TestAnalyst: what people of many languages type, and the texts that it must find, or
// must not.
func TestAnalyst(t *testing.T) {
	for _, c := range []struct {
		text  string
		finds string // questions, by |
		not   string
	}{
		{"انفجار في مَرفأ بَيروت، ١٢ قتيلاً على الأقل — يقول شاهد @AlJadeed_News", "مرفأ|مرفا|بيروت|12|۱۲|قتيلا|على الاقل|\"في مرفأ\"|@jadeed|علي -حريق", "حريق|مرفأ -بيروت|ميناء"},
		{"آتش‌سوزی در کارخانه‌ی فولاد؛ ۳ کشته", "آتش|\"آتش سوزی\"|آتش‌سوزی|اتش سوزي|کارخانه|كارخانه|3|٣", "آتشسوزی|سوز"},
		{"שְׂרֵפָה בנמל חיפה – צה״ל: 3 נפגעים", "שרפה|שרפה בנמל|צה\"ל|צה״ל|חיפה", "צהל|-חיפה שרפה"},
		{"Взрыв на складе в Харькове: ещё 4 ранены #Харьков", "харькове|#харьков|харьков*|еще 4|ЕЩЁ|\"на складе\"", "харько|4 убиты"},
		{"Вибух у Києві: п'ять поранених, їх лікують", "києві|п’ять|пʼять|їх", "киеви|п'ятьсот|их"},
		{"港口发生火灾，３人死亡。记者：王小明", "火灾|港口 死亡|3人|３人|王小明|“港口发生”", "灾火|港火|人3"},
		{"ｶﾞｽ爆発、東京ﾀﾜｰ近くで負傷者５名", "ガス爆発|東京タワー|5名|爆発 -火事|「東京タワー」", "がす|京東"},
		{"ไฟไหม้ท่าเรือ เสียชีวิต ๓ คน", "ไฟไหม้|ท่าเรือ|3|๓ คน|\"เสียชีวิต 3\"", "เรือท่า"},
		{"बन्दरगाह में आग, ३ की मौत; हिन्दी और क़ानून", "बंदरगाह|बन्दरगाह|हिंदी|हिन्दी|कानून|क़ानून|3|\"में आग\"", "आगरा"},
		{"İstanbul'da ışıklar söndü, IŞIK yok", "istanbul|ISTANBUL|işik|ışık|isik|ISIKLAR|\"sondu ısık\"", "ankara"},
		{"불이 났다 — 항구에서 3명", "불이|항구에서|항구*|3명", "항구"},
		{"Fire🔥🔥 at 🇺🇦 border 👍🏽 ❤️ 1️⃣", "🔥|fire 🔥|🇺🇦|👍|👍🏿|❤|❤️|1|\"🔥🔥\"", "🇦🇺|💧"},
		{"Смотри: @Rybar_Force, t.me/Port_Watch/12 и bob@example.org ٣٤٥", "@rybar|@force|@port_w|bob@example.org|@watch -@nexta|345|\"и bob\"", "@example|@12|@bob"},
		{"Цена $1,234.50 (١٬٢٣٤٫٥٠) от 12.05.2026, тел. +380 (44) 123-45-67", "1,234.50|12.05.2026|12/05/2026|\"123 45 67\"|+380|\"44 123\"", "1235|45.123"},
		{"Ça brûle à Orléans: l’École, œuvre, naïf — cœur", "ca brule|ecole|oeuvre|ŒUVRE|coeur|orleans|l'ecole", "eco"},
	} {
		for _, part := range []struct {
			list string
			want bool
		}{{c.finds, true}, {c.not, false}} {
			for _, s := range strings.Split(part.list, "|") {
				q, err := search.Parse(s)
				if err != nil {
					t.Errorf("%q: %v", s, err)
				} else if got := q.Match(search.Doc{Text: c.text}); got != part.want {
					t.Errorf("%q in %q: %t", s, c.text, got)
				}
			}
		}
	}
}

// TestRefused: what cannot be answered is said, with what to do.
func TestRefused(t *testing.T) {
	for q, why := range map[string]string{
		"": "no word", " !!! , ": "no word", "-fire": "must not be there", `"fire`: "not closed", "-!!": "no letter", "f*": "2 characters", "@a": "2 characters", "@name/123": "--source", "@port-watch": "letters, digits and _", "“fire": "not closed", "「火": "not closed",
		"hash:d41d8cd98f00b204e9800998ecf8427g": "only SHA-256", "hash:abc": "8 to 64", "hash:d41d8cd98f00b204e9800998ecf8427e": "as many digits as MD5", "hash:" + strings.Repeat("a", 128): "these are 128", "x -hash:abababab": "-hash:",
		strings.Repeat("x ", 33): "at most 32", strings.Repeat("x", 2001): "at most 2000", `"` + strings.Repeat("水", 300) + `"`: "at most 32 in 256", "a\xff": "UTF-8",
		"url:": "no letter", "url:/": "no letter",
	} {
		if _, err := search.Parse(q); !errors.Is(err, search.ErrQuery) || !strings.Contains(err.Error(), why) {
			t.Errorf("%.40q: %v, want …%s…", q, err, why)
		}
	}
}

func TestSnippet(t *testing.T) {
	long := strings.Repeat("Слово ", 100) + "пожар\n\nв порту, говорит @Harbour_News " + strings.Repeat("конец ", 100)
	for q, want := range map[string]string{
		`"пожар в"`:   "…Слово пожар в порту,…",
		"@bour":       "…оворит @Harbour_News конец…",
		"url:x":       "Слово С…",
		"слово порту": "Слово Слово…",
	} {
		p, err := search.Parse(q)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Snippet(long, 7); got != want {
			t.Errorf("%s: %q, want %q", q, got, want)
		}
	}
	p, _ := search.Parse(`"a b"`)
	if got := p.Snippet("a"+strings.Repeat("é!", 1<<16)+"b", 10); len(got) > 400 {
		t.Errorf("a snippet of %d bytes", len(got))
	}
}

// TestShows: where a text stands that answers in part is said by what it has of it.
func TestShows(t *testing.T) {
	q, err := search.Parse(`ferry @harbour_news -mayor url:host`)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"The ferry": true, "says @Harbour_News": true, "The mayor": false, "": false, "https://host/": false} {
		if q.Shows(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

// TestHostile: time and memory are linear in a text, whatever it is.
func TestHostile(t *testing.T) {
	for name, s := range map[string]string{"marks": "\u0301", "expands": "\ufdfa", "handles": "@a_", "slashes": "t.me/", "jamo": "\u1100", "cut": "x", "broken": "\xff", "thai": "ที่"} {
		text := strings.Repeat(s, 1<<20/len(s))
		began := time.Now()
		words, parts := search.Index("", text)
		if len(words) > 2*len(text)+1<<17 || len(parts) > 8<<20 || time.Since(began) > 30*time.Second {
			t.Errorf("%s: %d bytes become %d and %d in %s", name, len(text), len(words), len(parts), time.Since(began))
		}
	}
}

func FuzzWords(f *testing.F) {
	for _, s := range []string{"Fire é", "й\u0306ё\u0308і\u0308", "مُحَ\u0640", "港か\u3099", "가\u1100\u1161\u11a8", "a\xff\u0301", "ﬁ½㎏\ufdfa", "@a_b t.me/x"} {
		f.Add(s, 1, 3)
	}
	f.Fuzz(func(t *testing.T, s string, i, k int) {
		last, all := 0, []string{}
		var at [][2]int
		search.Words(s, func(w []byte, from, to int) bool {
			if from < last || to <= from || to > len(s) || len(w) == 0 || len(w) > 400 || !utf8.Valid(w) {
				t.Fatalf("%q: word %q at %d to %d after %d", s, w, from, to, last)
			}
			for _, c := range w {
				if c < utf8.RuneSelf && !('0' <= c && c <= '9' || 'a' <= c && c <= 'z') {
					t.Fatalf("%q: word %q", s, w)
				}
			}
			last, all, at = from, append(all, string(w)), append(at, [2]int{from, to})
			return true
		})
		folded := strings.Join(all, " ")
		if again := words(folded); again != folded {
			t.Errorf("%q folds to %q, and that to %q", s, folded, again)
		}
		search.Handles(s, func(h string) bool {
			if q, err := search.Parse("@" + h); err != nil || !q.Match(search.Doc{Text: s}) {
				t.Errorf("%q: handle %q is not found: %v", s, h, err)
			}
			return true
		})
		// A phrase of a text is found in it.
		if len(all) == 0 {
			return
		}
		i, k = abs(i)%len(all), abs(k)%len(all)
		i, k = min(i, k), max(i, k)
		if k-i > 200 {
			k = i + 200
		}
		q, err := search.Parse(`"` + strings.Join(all[i:k+1], " ") + `"`)
		if errors.Is(err, search.ErrQuery) && len(folded) > search.MaxQuery {
			return
		}
		if err != nil || !q.Match(search.Doc{Text: s}) {
			t.Errorf("%q: %q is not found: %v", s, all[i:k+1], err)
		}
		q.Snippet(s, 5)
	})
}

// TestFoldAgain: what is folded folds to itself, and is found by itself, however the
// characters of different scripts stand together.
func TestFoldAgain(t *testing.T) {
	runes := []rune("aÉßıİ1٣३ \u0301\u0308\u0306иіуйнन्मङाँ़\u093f\u200c\u200dكتىه\u064b\u0640שְ״港か\u3099ｶﾞ가\u1100\u1161ไหม้🔥\u1f3fb\ufe0f@_/.ʼ'ﬁ½㎏\ufdfa\u0958\u0929")
	for n := range 20_000 {
		rng := rand.New(rand.NewPCG(1, uint64(n)))
		var b strings.Builder
		for range 1 + rng.IntN(40) {
			b.WriteRune(runes[rng.IntN(len(runes))])
		}
		folded := words(b.String())
		if again := words(folded); again != folded {
			t.Fatalf("%q folds to %q, and that to %q", b.String(), folded, again)
		}
		if q, err := search.Parse(`"` + folded + `"`); folded != "" && (err != nil || !q.Match(search.Doc{Text: b.String()})) {
			t.Fatalf("%q: %q is not found: %v", b.String(), folded, err)
		}
	}
}

func abs(n int) int { return max(n, -n, 0) }

func FuzzParse(f *testing.F) {
	for _, s := range []string{`fire "at the" -smoke @x_y url:a.b hash:abababab`, `“a” «b» „c“ d*`, `-`, `"`, `@`, `url:"x y"*`, `-@ab x`, `hash:"ab"`} {
		f.Add(s, "fire at the sea")
	}
	f.Fuzz(func(t *testing.T, s, text string) {
		q, err := search.Parse(s)
		if err != nil {
			if !errors.Is(err, search.ErrQuery) {
				t.Fatal(err)
			}
			return
		}
		for _, term := range q.Terms {
			if len(term.Words) == 0 || len(term.Words) > search.MaxWords {
				t.Fatalf("%q: %+v", s, term)
			}
			for _, w := range term.Words {
				if strings.ContainsAny(w, "\"' *():^-+{}") || w == "" || w == "_" {
					t.Fatalf("%q: word %q", s, w)
				}
			}
		}
		q.Match(search.Doc{Text: text, Addresses: []string{text}, Hashes: []string{text}})
		if got := q.Snippet(text, 3); utf8.ValidString(text) && !utf8.ValidString(got) {
			t.Fatalf("%q in %q: %q", s, text, got)
		}
	})
}

func BenchmarkIndex(b *testing.B) {
	for name, s := range map[string]string{"latin": "Fire at the harbour, says a witness of it. ", "cyrillic": "Пожар в порту, говорит очевидец, и ещё. ",
		"arabic": "حريق في الميناء، يقول شاهد عيان. ", "han": "港口发生火灾，目击者称，没有人受伤。"} {
		text := strings.Repeat(s, 7)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				search.Index("", text)
			}
		})
	}
}

// TestLanguage: sentences that are long enough are told apart.
func TestLanguage(t *testing.T) {
	l := search.NewLanguages()
	for text, want := range map[string]string{
		"Fire at the harbour, says a witness of it": "en", "Incendie au port, dit un témoin de la scène": "fr", "Incendio en el puerto, dice un testigo": "es",
		"Пожар в порту, жертвы есть": "ru", "Пожежа в порту, є жертви": "uk", "Пожар в порту города": "", "حريق في الميناء، يقول شاهد عيان": "ar",
		"آتش‌سوزی در بندر، یک شاهد عینی می‌گوید": "fa", "港口发生火灾，目击者称": "zh", "港で火災が発生した": "ja", "항구에서 화재가 발생했다고": "ko",
		"12345 !!!": "", "ok": "", "": "", "\xff\xfe": "", "🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥": "",
	} {
		if got := l.Of(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
