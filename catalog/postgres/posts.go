package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"holdfast"
	"holdfast/catalog"
)

// answerKey is the place of an answer.
type answerKey struct {
	capture int64
	part    int
}

// addAnswers writes what captures say of posts. A capture's Manifest names the
// Object by its Digest, and a transaction is all or nothing: so an answer that
// is there is there with all its sights, and its texts. It returns the new ones.
func addAnswers(ctx context.Context, tx pgx.Tx, batch []catalog.Accepted, r rows) (fresh []*catalog.Answer, err error) {
	known := map[answerKey]bool{}
	var ask []int64 // captures that may have answers already
	for i := range batch {
		if a := &batch[i]; len(a.Answers) > 0 && !r.fresh[key{a.ID, a.Manifest}] {
			ask = append(ask, r.of(a))
		}
	}
	if len(ask) > 0 {
		err := each(ctx, tx, func(scan func(...any) error) error {
			var k answerKey
			err := scan(&k.capture, &k.part)
			known[k] = true
			return err
		}, `SELECT capture, part FROM answer WHERE capture = ANY ($1::bigint[])`, ask)
		if err != nil {
			return nil, err
		}
	}
	var captures []int64
	for i := range batch {
		a := &batch[i]
		for x := range a.Answers {
			k := answerKey{r.of(a), a.Answers[x].Part}
			if !known[k] {
				known[k] = true
				fresh, captures = append(fresh, &a.Answers[x]), append(captures, k.capture)
			}
		}
	}
	return fresh, insertAnswers(ctx, tx, fresh, captures)
}

func insertAnswers(ctx context.Context, tx pgx.Tx, fresh []*catalog.Answer, captures []int64) error {
	ns, err := numbers(ctx, tx, "answer_n", len(fresh))
	if err != nil {
		return err
	}
	var answers, called [][]any
	for i, x := range fresh {
		channel := catalog.ChannelNumber(x.Channel)
		answers = append(answers, []any{ns[i], captures[i], x.Part, channel, []byte(x.Title), x.Received.UnixMilli(), []byte(x.How), x.From, x.To, x.Flags(),
			len(x.Posts), len(x.Absent) + len(x.Deleted), catalog.ChannelNumber(x.Thread.Channel), x.Thread.Post})
		names := map[string]bool{}
		for _, name := range x.Names {
			if !names[name] {
				names[name] = true
				called = append(called, []any{[]byte(name), channel, x.Received.UnixMilli(), ns[i]})
			}
		}
	}
	if err := bulk(ctx, tx, "answer", `n capture part channel title received how reached reaches flags shows misses over below`, answers); err != nil {
		return err
	}
	if err := bulk(ctx, tx, "called", `name channel received answer`, called); err != nil {
		return err
	}
	return insertSights(ctx, tx, fresh, ns)
}

// insertSights copies what each answer says of each post.
func insertSights(ctx context.Context, tx pgx.Tx, fresh []*catalog.Answer, ns []int64) error {
	type sight struct {
		id    int64
		kind  catalog.FactKind
		place int
	}
	var sights [][]any
	for i, x := range fresh {
		channel, met := catalog.ChannelNumber(x.Channel), map[sight]bool{}
		x.Facts(func(id int64, k catalog.FactKind, o catalog.Observed) {
			s := sight{id, k, o.Place}
			if met[s] {
				return // a list may say one thing twice
			}
			met[s] = true
			sights = append(sights, []any{channel, id, ns[i], int16(k), o.Place, o.Content[:], o.Text[:], o.Kind == "service", milli(o.Posted), milli(o.Edited),
				o.Views, o.Forwards, o.Reactions, o.Replies, []byte(o.Poll)})
		})
	}
	return bulk(ctx, tx, "sight", `channel post answer kind place content text service posted edited views forwards reactions replies poll`, sights)
}

// milli is NULL for a time that nobody stated.
func milli(t holdfast.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}
