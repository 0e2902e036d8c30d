package content

import (
	"regexp"
	"strings"
	"sync"
	"unicode"
)

// Words for what people do on pages, as they stand beside a number. Those of one
// language stand on one line: en, de, fr, es, pt, it, ru, uk, ar, fa, zh, ja, tr.
const counted = `views?|viewed|plays?|likes?|shares?|shared|comments?|replies|reply|reposts?|retweets?|quotes?|reactions?|followers?|following|subscribers?|members?|upvotes?|downvotes?|points?|votes?|bookmarks?|downloads?|impressions?|visitors?|visits?|reads?|hits|online|watching|times` +
	`|aufrufe?|ansichten|gefällt|kommentare?|geteilt|abonnenten|mitglieder` +
	`|vues?|j.aime|partages?|commentaires?|abonnés?|membres?` +
	`|vistas|visualizaciones|me gusta|compartidos?|comentarios?|suscriptores|seguidores|miembros` +
	`|visualizações|curtidas?|compartilhamentos?|comentários?|inscritos` +
	`|visualizzazioni|mi piace|condivisioni|commenti?|iscritti` +
	`|просмотр(?:а|ов)?|комментари(?:й|я|ев)|репост(?:а|ов)?|подписчик(?:а|ов)?|участник(?:а|ов)?|лайк(?:а|ов)?|нравится|отмет(?:ка|ки|ок)` +
	`|перегляд(?:и|ів)?|коментар(?:і|ів)?|підписник(?:и|ів)?|поширень` +
	`|مشاهد(?:ة|ات)|إعجاب(?:ات)?|تعليق(?:ات)?|مشارك(?:ة|ات)|متابع(?:ون|ين)?|مشترك(?:ون|ين)?` +
	`|بازدید|نظر|پسند|دنبال.کننده` +
	`|次观看|次浏览|浏览|阅读|评论|点赞|转发|关注者|播放` +
	`|回視聴|件の返信|いいね|フォロワー` +
	`|görüntüleme|beğeni|yorum|paylaşım|abone|takipçi`

// ago is how long something is ago, in words that say so by themselves.
const ago = `(?:just now|yesterday|today|\d+ ?(?:s|m|h|d|w|mo|y|sec|min|hr|hrs|second|minute|hour|day|week|month|year)s? ago|(?:a|an) (?:second|minute|hour|day|week|month|year) ago` +
	`|vor (?:\d+|einer|einem) \pL+|il y a (?:\d+|une?) \pL+|hace (?:\d+|una?) \pL+|há (?:\d+|uma?) \pL+|(?:\d+|una?|un.) \pL+ fa|(?:\d+ )?\pL+ (?:назад|тому)|منذ (?:\d+ )?\pL+(?: \pL+)?|(?:\d+ )?\pL+ پیش|\d+ ?(?:秒|分钟|分|小时|時間|天|日|周|个月|月|年)前|\d+ \pL+ önce)`

const (
	number = `[+-]?\d[\d.,'\x{00a0}\x{202f}\x{066b}\x{066c}]*(?: ?(?:[kKmMbB]|тыс\.?|млн\.?|Tsd\.?|Mio\.?|mil|万|億|亿|ألف|مليون))?`
	sep    = `[\s·•|,;/()\[\]:\x{2013}\x{2014}-]*`
	one    = `(?:` + number + `\s*(?:` + counted + `)|(?:` + counted + `)\s*:?\s*` + number + `|` + ago + `)`
)

// patterns are made by the first document that is read, which takes some milliseconds,
// and never change.
type patterns struct{ counter, number, unread *regexp.Regexp }

var compiled = sync.OnceValue(newPatterns)

func newPatterns() patterns {
	return patterns{
		counter: regexp.MustCompile(`^(?i)` + sep + one + `(?:` + sep + one + `)*` + sep + `$`),
		number:  regexp.MustCompile(number),
		unread:  regexp.MustCompile(`^[(\[]\d[\d.,+]*[)\]]\s*`),
	}
}

// latin turns the digits of other scripts into 0 to 9, so that one pattern finds all.
func latin(s string) string {
	return strings.Map(func(r rune) rune {
		if r > 127 && unicode.Is(unicode.Nd, r) {
			zero := r
			for unicode.Is(unicode.Nd, zero-1) && r-zero < 9 {
				zero--
			}
			return '0' + (r-zero)%10
		}
		return r
	}, s)
}

// isCounter says whether words are counters and nothing else.
func (p patterns) isCounter(s string) bool {
	return len(s) <= maxCounter && p.counter.MatchString(latin(s))
}

// hasNumber says whether there is a number among few words.
func (p patterns) hasNumber(s string) bool {
	return len(s) <= maxCounter && p.number.MatchString(latin(s))
}

const (
	maxCounter  = 120 // bytes of a counter
	shortWords  = 4   // words of an element that the page names a counter
	proseOthers = 3   // words beside it that make a sentence of what looks like a counter
)

// stateWords begin names that say how a page stands, not what an element is:
// has-sidebar, no-menu, with-ads.
const stateWords = " has with without no not is show shows hide hides enable enabled use uses "

// namedReason is what a page's own name for an element, one of its classes or its
// id, says of it.
func namedReason(words []string) Reason {
	if len(words) == 0 || strings.Contains(stateWords, " "+words[0]+" ") {
		return ""
	}
	set := func(list string) bool {
		for _, w := range words {
			if strings.Contains(" "+list+" ", " "+w+" ") {
				return true
			}
		}
		return false
	}
	switch {
	case set("ad ads adslot adbox adunit adsense adsbygoogle advert adverts advertisement advertisements advertising sponsored taboola outbrain mgid adfox doubleclick"):
		return Advertisement
	case set("cookie cookies consent gdpr cookiebanner"):
		return Consent
	case set("nav navbar navigation menu breadcrumb breadcrumbs sidebar related recommended recommendations trending mostread popular pagination pager sharebar sharebuttons"):
		return Navigation
	}
	return ""
}

// namedCounter says whether a page names an element after something that is counted:
// surely, or perhaps.
func namedCounter(words []string) (sure, perhaps bool) {
	for _, w := range words {
		switch w {
		case "likes", "views", "viewcount", "viewscount", "likecount", "shares", "followers", "subscribers", "retweets", "reposts", "upvotes", "reactions", "impressions", "hits", "visitors", "timeago", "favorites", "favourites", "commentcount":
			sure = true
		case "count", "counter", "counts", "score", "votes", "online", "ago", "stats":
			perhaps = true
		}
	}
	if perhaps {
		for _, w := range words {
			switch w {
			case "like", "view", "share", "comment", "comments", "follower", "reply", "reaction", "retweet", "repost", "vote", "visitor", "member", "members", "user", "users", "play", "download", "downloads":
				sure = true
			}
		}
	}
	return sure, perhaps
}

// nameWords splits class and id: like-count, likeCount and like_count are two words.
func nameWords(s string) (words []string) {
	if len(s) > maxValue {
		s = s[:maxValue]
	}
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 && len(words) < 64 {
			words = append(words, b.String())
		}
		b.Reset()
	}
	lower := false
	for _, r := range s {
		switch {
		case !unicode.IsLetter(r):
			flush()
			lower = false
			continue
		case unicode.IsUpper(r) && lower:
			flush()
		}
		lower = unicode.IsLower(r)
		b.WriteRune(unicode.ToLower(r))
	}
	flush()
	return words
}
