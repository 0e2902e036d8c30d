package tl

import (
	"encoding/binary"

	"github.com/gotd/td/tg"
)

// maxNest bounds how many of a nested thing's constructors an answer may hold. The
// generated decoder calls itself for each level and has no bound of its own: a
// million levels, which 4 MB hold, use up the largest stack that Go allows, and
// that ends the process. This many take 150 MB. What the service makes has some
// hundreds in a message with a page in it.
const maxNest = 100_000

// deep says whether raw might be nested too deeply. All of TL lies at multiples of
// 4 bytes, so nothing that the decoder would take for a constructor is missed;
// a text may be counted for one, which costs nothing but the reading.
func deep(raw []byte) bool {
	n := 0
	for ; len(raw) >= 4; raw = raw[4:] {
		if nests(binary.LittleEndian.Uint32(raw)) {
			n++
		}
	}
	return n > maxNest
}

// nests says whether a constructor can hold one of its own kind, at any distance.
func nests(id uint32) bool {
	switch id {
	case tg.InputMediaInvoiceTypeID, tg.InputMediaPaidMediaTypeID, tg.InputMediaPollTypeID, tg.InputPeerChannelFromMessageTypeID,
		tg.InputPeerUserFromMessageTypeID, tg.InputPollAnswerTypeID, tg.MessageExtendedMediaTypeID, tg.MessageMediaInvoiceTypeID,
		tg.MessageMediaPaidMediaTypeID, tg.MessageMediaPollTypeID, tg.MessageMediaStoryTypeID, tg.MessageMediaWebPageTypeID,
		tg.PageBlockBlockquoteBlocksTypeID, tg.PageBlockCollageTypeID, tg.PageBlockCoverTypeID, tg.PageBlockDetailsTypeID, tg.PageBlockEmbedPostTypeID,
		tg.PageBlockListTypeID, tg.PageBlockOrderedListTypeID, tg.PageBlockSlideshowTypeID, tg.PageListItemBlocksTypeID, tg.PageListOrderedItemBlocksTypeID,
		tg.PollAnswerTypeID, tg.PollResultsTypeID, tg.PollTypeID, tg.StoryItemTypeID, tg.TextAnchorTypeID, tg.TextAutoEmailTypeID, tg.TextAutoPhoneTypeID,
		tg.TextAutoURLTypeID, tg.TextBankCardTypeID, tg.TextBoldTypeID, tg.TextBotCommandTypeID, tg.TextCashtagTypeID, tg.TextConcatTypeID,
		tg.TextDateTypeID, tg.TextDiffTypeID, tg.TextEmailTypeID, tg.TextFixedTypeID, tg.TextHashtagTypeID, tg.TextItalicTypeID, tg.TextMarkedTypeID,
		tg.TextMentionNameTypeID, tg.TextMentionTypeID, tg.TextPhoneTypeID, tg.TextSpoilerTypeID, tg.TextStrikeTypeID, tg.TextSubscriptTypeID,
		tg.TextSuperscriptTypeID, tg.TextURLTypeID, tg.TextUnderlineTypeID, tg.WebPageAttributeStoryTypeID, tg.WebPageTypeID:
		return true
	}
	return false
}
