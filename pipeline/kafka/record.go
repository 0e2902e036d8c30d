package kafka

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
	"time"

	kgo "github.com/segmentio/kafka-go"

	"holdfast"
	"holdfast/pipeline"
)

// Headers of our records. All are short; what is missing or does not fit makes a
// record Damaged, never a stage stop.
const (
	headID   = "id"   // 32 hex digits
	headSum  = "sum"  // CRC-32C of id and value, 4 bytes
	headBody = "body" // normalised: length of the Body where a Note follows it, 8 bytes
	headFrom = "from" // normalised: position in captured, 8 bytes
)

// entry is a message as it lies in a topic.
type entry struct {
	pipeline.Message
	key  []byte
	from int64     // of a normalised one: its position in captured
	at   time.Time // when it was written, by the clock of who did

	grave string // of a dead one that is poison: where it lay
}

func (e entry) size() int { return len(e.Body) + len(e.Note) }

// record is what is written.
type record struct {
	key, value []byte
	headers    []kgo.Header
}

func (r record) size() int { return len(r.key) + len(r.value) + 128 }

func sum(id string, value []byte) []byte {
	t := crc32.MakeTable(crc32.Castagnoli)
	return binary.BigEndian.AppendUint32(nil, crc32.Update(crc32.Checksum([]byte(id), t), t, value))
}

func number(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func capturedRecord(m pipeline.Message) record {
	key := m.Key
	if key == "" {
		key = string(m.ID)
	}
	return record{key: []byte(key), value: m.Body,
		headers: []kgo.Header{{Key: headID, Value: []byte(m.ID)}, {Key: headSum, Value: sum(string(m.ID), m.Body)}}}
}

// normalisedRecord is whole. What was damaged stays so: its sum is not right.
func normalisedRecord(e entry, note []byte) record {
	r := record{key: e.key, value: e.Body}
	r.headers = []kgo.Header{{Key: headID, Value: []byte(e.ID)}, {Key: headFrom, Value: number(e.Position)}}
	if note != nil {
		r.value = append(append(make([]byte, 0, len(e.Body)+len(note)), e.Body...), note...)
		r.headers = append(r.headers, kgo.Header{Key: headBody, Value: number(int64(len(e.Body)))})
	}
	s := sum(string(e.ID), r.value)
	if e.Damaged {
		s[0] ^= 0xff
	}
	r.headers = append(r.headers, kgo.Header{Key: headSum, Value: s})
	return r
}

func resultRecord(m pipeline.Message) record {
	return record{value: m.Body, headers: []kgo.Header{{Key: headSum, Value: sum("", m.Body)}}}
}

// deadRecord is for people: where it lay, and why it is here, are in its headers.
func deadRecord(s pipeline.Stage, partition int, e entry, reason string) record {
	text := func(k, v string) kgo.Header { return kgo.Header{Key: k, Value: []byte(v)} }
	return record{key: e.key, value: append(append([]byte(nil), e.Body...), e.Note...), headers: []kgo.Header{text(headID, string(e.ID)),
		text("stage", string(s)), text("partition", strconv.Itoa(partition)), text("position", strconv.FormatInt(e.Position, 10)),
		text("body", strconv.Itoa(len(e.Body))), text("reason", reason)}}
}

// decode reads a record of a topic.
func decode(topic string, partition int, r *kgo.Record) (e entry, err error) {
	e.Partition, e.Position, e.at = partition, r.Offset+1, r.Time
	if e.key, err = bytesOf(r.Key); err != nil {
		return e, err
	}
	if e.Body, err = bytesOf(r.Value); err != nil {
		return e, err
	}
	var id, want []byte
	body := int64(-1)
	for _, h := range r.Headers {
		switch h.Key {
		case headID:
			id = h.Value
		case headSum:
			want = h.Value
		case headFrom:
			e.from = integer(h.Value)
		case headBody:
			body = integer(h.Value)
		}
	}
	e.Damaged = string(want) != string(sum(string(id), e.Body))
	if topic == dead {
		e.grave = grave(r.Headers)
	}
	if topic == sealed || topic == dead {
		return e, nil
	}
	e.ID = holdfast.ID(id)
	if _, err := holdfast.ParseID(string(id)); err != nil { // its plan must name an ID
		e.ID, e.Damaged = holdfast.ID(strings.Repeat("0", 32)), true
	}
	if body >= 0 && body <= int64(len(e.Body)) {
		e.Body, e.Note = e.Body[:body:body], e.Body[body:]
	}
	return e, nil
}

// grave is where a message lay that could not be read; "" if it is here for another
// reason.
func grave(all []kgo.Header) string {
	is := map[string]string{}
	for _, h := range all {
		is[h.Key] = string(h.Value)
	}
	if is["reason"] != "poison" {
		return ""
	}
	return is["partition"] + "/" + is["position"]
}

func integer(b []byte) int64 {
	if len(b) != 8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(b))
}

// bytesOf copies: the record's own bytes are given back to kafka-go.
func bytesOf(b kgo.Bytes) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	defer b.Close()
	if b.Len() == 0 {
		return []byte{}, nil
	}
	out := make([]byte, b.Len())
	_, err := io.ReadFull(b, out)
	return out, err
}

func (r record) kafka() kgo.Record {
	return kgo.Record{Key: kgo.NewBytes(r.key), Value: kgo.NewBytes(r.value), Headers: r.headers}
}
