package kafka

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	kgo "github.com/segmentio/kafka-go"

	"holdfast"
	"holdfast/pipeline"
)

// A commit carries the print of the message that it goes to. Brokers that have lost
// the end of a log give its positions to other messages; by the print this is seen,
// where the number alone would have a stage go past what it never read. That of
// normalise has the print of the last message that it wrote too:
//
//	<ID>.<CRC-32C>[ <position in normalised> <ID>.<CRC-32C>]

func printOf(id holdfast.ID, value []byte) string {
	return fmt.Sprintf("%s.%08x", id, crc32.Checksum(value, crc32.MakeTable(crc32.Castagnoli)))
}

func (e entry) print() string {
	t := crc32.MakeTable(crc32.Castagnoli)
	return fmt.Sprintf("%s.%08x", e.ID, crc32.Update(crc32.Checksum(e.Body, t), t, e.Note))
}

func (w wrote) print() string {
	if w.last == "" {
		return ""
	}
	return fmt.Sprintf(" %d %s", w.end, w.last)
}

// still reports whether what was committed is in the log, as far as that can be seen:
// of what is pruned, or was committed by hand, nothing can.
func (q *Queue) still(ctx context.Context, a at, topic string, done int64, print string, first, last int64) (bool, error) {
	read, wrote, both := strings.Cut(print, " ")
	whole, err := q.same(ctx, topic, a.partition, done, read, first, last)
	if err != nil || !whole || !both {
		return whole, err
	}
	number, made, _ := strings.Cut(wrote, " ")
	end, err := strconv.ParseInt(number, 10, 64)
	if err != nil || a.stage != pipeline.StageNormalise {
		return false, nil
	}
	if first, last, err = q.offsets(ctx, normalised, a.partition); err != nil {
		return false, err
	}
	return q.same(ctx, normalised, a.partition, end, made, first, last)
}

func (q *Queue) same(ctx context.Context, topic string, partition int, position int64, print string, first, last int64) (bool, error) {
	if position > last {
		return false, nil
	}
	if print == "" || position <= first {
		return true, nil
	}
	got, _, err := q.fetch(ctx, topic, partition, position-1, 0)
	if errors.Is(err, kgo.OffsetOutOfRange) { // pruned, or lost, since those ends were asked for
		if first, last, err = q.offsets(ctx, topic, partition); err == nil && position > first && position <= last {
			err = fmt.Errorf("position %d of %s is not there: %w", position, q.o.topic(topic), kgo.OffsetOutOfRange)
		}
		return position <= last, err
	}
	if err != nil {
		return false, err
	}
	return len(got) > 0 && got[0].print() == print, nil
}
