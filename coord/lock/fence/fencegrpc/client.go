package fencegrpc

import (
	"context"
	"strconv"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/strata-coord/strata/coord/lock/fence"
)

// UnaryClientInterceptor sends the token of a lock with every call. When the lock is lost, calls under way are given up and no more are
// sent: the error is the cause of the lock's context. A refusal for a stale token is a *fence.StaleTokenError.
func UnaryClientInterceptor(held fence.Source) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if held.Context().Err() != nil {
			return context.Cause(held.Context())
		}
		ctx, stop := fence.Joined(ctx, held)
		defer stop()
		err := invoke(with(ctx, held), method, req, reply, cc, opts...)
		if why := context.Cause(held.Context()); err != nil && why != nil {
			return why
		}
		return FromError(err)
	}
}

// StreamClientInterceptor is UnaryClientInterceptor for streams: the token is sent at their begin.
func StreamClientInterceptor(held fence.Source) grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		if held.Context().Err() != nil {
			return nil, context.Cause(held.Context())
		}
		ctx, stop := fence.Joined(ctx, held)
		s, err := open(with(ctx, held), desc, cc, method, opts...)
		if err != nil {
			stop()
			return nil, FromError(err)
		}
		// The stream's own context ends with the stream, whoever ends it.
		context.AfterFunc(s.Context(), stop)
		return &clientStream{s, held}, nil
	}
}

func with(ctx context.Context, held fence.Source) context.Context {
	return metadata.AppendToOutgoingContext(ctx, Key, strconv.FormatInt(held.Token(), 10))
}

type clientStream struct {
	grpc.ClientStream
	held fence.Source
}

func (s *clientStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if why := context.Cause(s.held.Context()); err != nil && why != nil {
		return why
	}
	return FromError(err)
}

// FromError is the *fence.StaleTokenError in the details of a gRPC error, for clients without the interceptors; else err.
func FromError(err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	for _, detail := range s.Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if !ok || info.GetReason() != Reason || info.GetDomain() != Domain {
			continue
		}
		token, err1 := fence.ParseToken(info.GetMetadata()["token"])
		highest, err2 := fence.ParseToken(info.GetMetadata()["highest"])
		if err1 == nil && err2 == nil {
			return &fence.StaleTokenError{Resource: info.GetMetadata()["resource"], Token: token, Highest: highest}
		}
	}
	return err
}
