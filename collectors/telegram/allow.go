package telegram

import (
	"errors"
	"fmt"

	"github.com/gotd/td/tg"
)

// ErrMethod is wrapped by the error for a method that is not on the list.
var ErrMethod = errors.New("this method is not on the list of those that only read")

// method returns a request's name in the schema. Everything that is not named here
// is refused: what a later schema brings is not sent because nobody forbade it. What
// writes is in no list but that of one Canary ([Canary.writes]).
func method(id uint32) (string, error) {
	switch id {
	case tg.HelpGetConfigRequestTypeID:
		return "help.getConfig", nil
	case tg.UsersGetUsersRequestTypeID:
		return "users.getUsers", nil
	case tg.ContactsResolveUsernameRequestTypeID:
		return "contacts.resolveUsername", nil
	case tg.ChannelsGetChannelsRequestTypeID:
		return "channels.getChannels", nil
	case tg.ChannelsGetFullChannelRequestTypeID:
		return "channels.getFullChannel", nil
	case tg.ChannelsGetMessagesRequestTypeID:
		return "channels.getMessages", nil
	case tg.MessagesGetHistoryRequestTypeID:
		return "messages.getHistory", nil
	case tg.MessagesGetRepliesRequestTypeID:
		return "messages.getReplies", nil
	case tg.MessagesGetDiscussionMessageRequestTypeID:
		return "messages.getDiscussionMessage", nil
	case tg.MessagesGetForumTopicsRequestTypeID:
		return "messages.getForumTopics", nil
	case tg.StoriesGetPeerStoriesRequestTypeID:
		return "stories.getPeerStories", nil
	case tg.StoriesGetPinnedStoriesRequestTypeID:
		return "stories.getPinnedStories", nil
	case tg.StoriesGetStoriesByIDRequestTypeID:
		return "stories.getStoriesByID", nil
	case tg.UpdatesGetStateRequestTypeID:
		return "updates.getState", nil
	case tg.UpdatesGetChannelDifferenceRequestTypeID:
		return "updates.getChannelDifference", nil
	case tg.UploadGetFileRequestTypeID:
		return "upload.getFile", nil
	case tg.UploadGetFileHashesRequestTypeID:
		return "upload.getFileHashes", nil
	}
	return "", fmt.Errorf("constructor %#08x: %w", id, ErrMethod)
}
