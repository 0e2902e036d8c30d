package telegramtest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"strings"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
	"github.com/gotd/td/tgtest"
)

const (
	selfID   = 7001
	codeHash = "hash"
)

func self() *tg.User { return user(selfID) }

func user(id int64) *tg.User {
	u := &tg.User{ID: id, Self: true}
	u.SetAccessHash(1)
	u.SetFirstName("Observer")
	return u
}

// methods is everything that is answered, by constructor.
func methods() map[uint32]method {
	all := map[uint32]method{}
	add := func(id uint32, m method) { all[id] = m }
	maps.Copy(all, accountMethods())
	maps.Copy(all, writingMethods())
	besideMethods(add)
	add(on("contacts.resolveUsername", false, func(s *Server, _ *tgtest.Request, in *tg.ContactsResolveUsernameRequest) (bin.Encoder, error) {
		return s.World.resolve(in.Username)
	}))
	add(on("channels.getChannels", false, func(s *Server, _ *tgtest.Request, in *tg.ChannelsGetChannelsRequest) (bin.Encoder, error) {
		return s.World.getChannels(in)
	}))
	add(on("channels.getFullChannel", false, func(s *Server, _ *tgtest.Request, in *tg.ChannelsGetFullChannelRequest) (bin.Encoder, error) {
		return s.World.full(in)
	}))
	add(on("messages.getHistory", false, func(s *Server, _ *tgtest.Request, in *tg.MessagesGetHistoryRequest) (bin.Encoder, error) {
		return s.World.history(in)
	}))
	add(on("channels.getMessages", false, func(s *Server, _ *tgtest.Request, in *tg.ChannelsGetMessagesRequest) (bin.Encoder, error) {
		return s.World.byID(in)
	}))
	add(on("updates.getChannelDifference", false, func(s *Server, _ *tgtest.Request, in *tg.UpdatesGetChannelDifferenceRequest) (bin.Encoder, error) {
		return s.World.channelDifference(in)
	}))
	add(on("upload.getFile", false, func(s *Server, req *tgtest.Request, in *tg.UploadGetFileRequest) (bin.Encoder, error) {
		s.World.countPart(fileID(in.Location), partAsked{req.Session.ID, req.MsgID, in.Offset})
		return s.World.getFile(req.DC, in)
	}))
	add(on("upload.getFileHashes", false, func(s *Server, req *tgtest.Request, in *tg.UploadGetFileHashesRequest) (bin.Encoder, error) {
		return s.World.hashes(req.DC, in)
	}))
	return all
}

func accountMethods() map[uint32]method {
	all := map[uint32]method{}
	add := func(id uint32, m method) { all[id] = m }
	add(on("help.getConfig", true, func(s *Server, req *tgtest.Request, _ *tg.HelpGetConfigRequest) (bin.Encoder, error) {
		return encoded(&tg.Config{ThisDC: req.DC, DCOptions: s.DCs().Options, Date: int(s.World.Now().Unix())}), nil
	}))
	add(on("auth.sendCode", true, func(s *Server, req *tgtest.Request, in *tg.AuthSendCodeRequest) (bin.Encoder, error) {
		if req.DC != s.o.Home {
			return nil, tgerr.New(303, fmt.Sprintf("PHONE_MIGRATE_%d", s.o.Home))
		}
		if s.number(in.PhoneNumber) == 0 {
			return nil, tgerr.New(400, "PHONE_NUMBER_INVALID")
		}
		return encoded(&tg.AuthSentCode{Type: &tg.AuthSentCodeTypeApp{Length: 5}, PhoneCodeHash: codeHash}), nil
	}))
	add(on("auth.signIn", true, func(s *Server, req *tgtest.Request, in *tg.AuthSignInRequest) (bin.Encoder, error) {
		if in.PhoneCodeHash != codeHash || in.PhoneCode != s.Code {
			return nil, tgerr.New(400, "PHONE_CODE_INVALID")
		}
		s.mu.Lock()
		s.users[req.Session.AuthKey.ID] = s.number(in.PhoneNumber)
		s.mu.Unlock()
		if err := s.first(req); err != nil {
			return nil, err
		}
		return encoded(&tg.AuthAuthorization{User: user(s.user(req))}), nil
	}))
	passwordMethods(add)
	pictureMethods(add)
	add(on("auth.logOut", false, func(s *Server, req *tgtest.Request, _ *tg.AuthLogOutRequest) (bin.Encoder, error) {
		s.mu.Lock()
		delete(s.in, req.Session.AuthKey.ID)
		s.mu.Unlock()
		return encoded(&tg.AuthLoggedOut{}), nil
	}))
	add(on("auth.exportAuthorization", false, func(_ *Server, _ *tgtest.Request, in *tg.AuthExportAuthorizationRequest) (bin.Encoder, error) {
		return encoded(&tg.AuthExportedAuthorization{ID: selfID, Bytes: []byte("transfer")}), nil
	}))
	add(on("auth.importAuthorization", true, func(s *Server, req *tgtest.Request, in *tg.AuthImportAuthorizationRequest) (bin.Encoder, error) {
		if string(in.Bytes) != "transfer" {
			return nil, tgerr.New(400, "AUTH_BYTES_INVALID")
		}
		s.logIn(req)
		return encoded(&tg.AuthAuthorization{User: self()}), nil
	}))
	add(on("users.getUsers", false, func(s *Server, req *tgtest.Request, _ *tg.UsersGetUsersRequest) (bin.Encoder, error) {
		var b bin.Buffer
		putAll(&b, []raw{encoded(user(s.user(req)))})
		return raw(b.Buf), nil
	}))
	add(on("updates.getState", false, func(s *Server, _ *tgtest.Request, _ *tg.UpdatesGetStateRequest) (bin.Encoder, error) {
		return encoded(&tg.UpdatesState{Pts: 1, Date: int(s.World.Now().Unix()), Seq: 1}), nil
	}))
	return all
}

func (s *Server) logIn(req *tgtest.Request) {
	s.mu.Lock()
	s.in[req.Session.AuthKey.ID] = true
	s.accounts.add(req)
	s.mu.Unlock()
}

func (w *World) resolve(name string) (bin.Encoder, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.channels {
		if c.Username != "" && strings.EqualFold(c.Username, name) {
			return encoded(&tg.ContactsResolvedPeer{Peer: &tg.PeerChannel{ChannelID: c.ID}, Chats: []tg.ChatClass{c.chat()}}), nil
		}
	}
	return nil, tgerr.New(400, "USERNAME_NOT_OCCUPIED")
}

func (w *World) getChannels(in *tg.ChannelsGetChannelsRequest) (bin.Encoder, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := &tg.MessagesChats{}
	for _, id := range in.ID {
		c, err := w.find(id)
		if err != nil {
			return nil, err
		}
		out.Chats = append(out.Chats, c.chat())
	}
	return encoded(out), nil
}

func (w *World) full(in *tg.ChannelsGetFullChannelRequest) (bin.Encoder, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.find(in.Channel)
	if err != nil {
		return nil, err
	}
	f := &tg.ChannelFull{ID: c.ID, About: "About " + c.Title, ChatPhoto: &tg.PhotoEmpty{}, Pts: c.pts}
	f.SetParticipantsCount(1000)
	if c.group != nil {
		f.SetLinkedChatID(c.group.ID)
	}
	if c.photo != nil {
		p := *c.photo
		p.FileReference = binary.BigEndian.AppendUint64(nil, w.reference)
		f.ChatPhoto = &p
	}
	return encoded(&tg.MessagesChatFull{FullChat: f, Chats: []tg.ChatClass{c.chat()}}), nil
}

// file finds a file by its location, if the reference is good.
func (w *World) file(in tg.InputFileLocationClass) ([]byte, error) {
	var id int64
	var ref []byte
	size := ""
	switch l := in.(type) {
	case *tg.InputDocumentFileLocation:
		id, ref = l.ID, l.FileReference
	case *tg.InputPhotoFileLocation:
		id, ref = l.ID, l.FileReference
		size = l.ThumbSize
	}
	b, ok := w.files[id]
	if size != "" {
		b, ok = w.photos[id][size]
	}
	if !ok {
		return nil, tgerr.New(400, "LOCATION_INVALID")
	}
	if len(ref) != 8 || binary.BigEndian.Uint64(ref) != w.reference {
		return nil, tgerr.New(400, "FILE_REFERENCE_EXPIRED")
	}
	return b, nil
}

func (w *World) getFile(dc int, in *tg.UploadGetFileRequest) (bin.Encoder, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b, err := w.file(in.Location)
	if err != nil {
		return nil, err
	}
	if err := w.place(dc, in.Location); err != nil {
		return nil, err
	}
	if in.Offset < 0 || in.Limit < 1 || in.Limit > 1<<20 || in.Offset%4096 != 0 || in.Limit%4096 != 0 {
		return nil, tgerr.New(400, "LIMIT_INVALID")
	}
	from := min(in.Offset, int64(len(b)))
	to := min(from+int64(in.Limit), int64(len(b)))
	return encoded(&tg.UploadFile{Type: &tg.StorageFilePartial{}, Mtime: 1, Bytes: b[from:to]}), nil
}

// hashChunk is the size of the parts that the service gives hashes of.
const hashChunk = 128 << 10

func (w *World) hashes(dc int, in *tg.UploadGetFileHashesRequest) (bin.Encoder, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b, err := w.file(in.Location)
	if err != nil {
		return nil, err
	}
	if err := w.place(dc, in.Location); err != nil {
		return nil, err
	}
	wrong, told := w.told[fileID(in.Location)]
	if told && wrong < 0 {
		b = nil // it has no hashes of this one
	}
	var list []raw
	for at := in.Offset / hashChunk * hashChunk; at < int64(len(b)) && len(list) < 10; at += hashChunk {
		part := b[at:min(at+hashChunk, int64(len(b)))]
		sum := sha256.Sum256(part)
		if told && wrong == at {
			sum[0]++
		}
		list = append(list, encoded(&tg.FileHash{Offset: at, Limit: len(part), Hash: sum[:]}))
	}
	var out bin.Buffer
	putAll(&out, list)
	return raw(out.Buf), nil
}
