// Package fencegrpc is package fence for gRPC: server interceptors that check the fencing token of each call, and client interceptors that
// send it. It is a package of its own, so that programs without gRPC don't link it.
package fencegrpc

import (
	"context"
	"errors"
	"strconv"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/strata-coord/strata/coord/lock/fence"
)

// Key carries the token in the metadata of a call: a decimal number.
const Key = "strata-fencing-token"

// What the details of a refusal say: see status.Status.Details and errdetails.ErrorInfo.
const (
	Reason = "STALE_FENCING_TOKEN"
	Domain = "strata"
)

// Resource names what a call is about: something whose writes one lock protects. checked is false for calls that need no token, as
// those that only read. req is nil for streams.
type Resource func(ctx context.Context, fullMethod string, req any) (name string, checked bool)

// UnaryServerInterceptor lets calls pass under c.Do, with the token in their metadata. A call's context ends when a larger token comes; that
// call waits until this one has returned.
//
// Refusals: InvalidArgument without a token, or with one that is no positive number; FailedPrecondition, with details, for a stale one;
// Unavailable when the store fails.
func UnaryServerInterceptor(c *fence.Checker, resource Resource) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (resp any, err error) {
		name, checked := resource(ctx, info.FullMethod, req)
		if !checked {
			return handle(ctx, req)
		}
		err = do(ctx, c, name, func(ctx context.Context) (err error) {
			resp, err = handle(ctx, req)
			return err
		})
		return resp, err
	}
}

// StreamServerInterceptor is UnaryServerInterceptor for streams: a stream is one call under c.Do, from its begin to its end. When a larger token comes,
// its context ends, and so do its RecvMsg and SendMsg, with a stale token: a handler that returns then makes room.
func StreamServerInterceptor(c *fence.Checker, resource Resource) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		name, checked := resource(ss.Context(), info.FullMethod, nil)
		if !checked {
			return handle(srv, ss)
		}
		return do(ss.Context(), c, name, func(ctx context.Context) error { return handle(srv, &stream{ss, ctx}) })
	}
}

// do runs f under c.Do, and says what was wrong as gRPC does.
func do(ctx context.Context, c *fence.Checker, resource string, f func(context.Context) error) error {
	values := metadata.ValueFromIncomingContext(ctx, Key)
	if len(values) != 1 {
		return status.Errorf(codes.InvalidArgument, "the metadata has %d values of %s, want one", len(values), Key)
	}
	token, err := fence.ParseToken(values[0])
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "%s is not a positive number", Key)
	}
	ran := false
	err = c.Do(ctx, resource, token, func(ctx context.Context) error {
		ran = true
		err := f(ctx)
		if why := stale(context.Cause(ctx)); err != nil && why != nil {
			return why // it was ended for this
		}
		return err
	})
	if stale := stale(err); stale != nil {
		return refusal(stale)
	} else if err == nil || ran {
		return err
	} else if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	return status.Error(codes.Unavailable, err.Error())
}

// stale is the *fence.StaleTokenError in err, or nil.
func stale(err error) *fence.StaleTokenError {
	var s *fence.StaleTokenError
	errors.As(err, &s)
	return s
}

// refusal is what the client gets for a stale token.
func refusal(e *fence.StaleTokenError) error {
	s := status.New(codes.FailedPrecondition, e.Error())
	detailed, err := s.WithDetails(&errdetails.ErrorInfo{Reason: Reason, Domain: Domain, Metadata: map[string]string{
		"resource": e.Resource, "token": strconv.FormatInt(e.Token, 10), "highest": strconv.FormatInt(e.Highest, 10),
	}})
	if err != nil {
		return s.Err()
	}
	return detailed.Err()
}

// stream is a ServerStream whose context, and whose calls, end with ctx.
type stream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *stream) Context() context.Context { return s.ctx }

// RecvMsg returns when ctx has ended. The receive below it then ends with the stream, which is when the handler has returned.
func (s *stream) RecvMsg(m any) error {
	return s.orEnd(func() error { return s.ServerStream.RecvMsg(m) })
}

// SendMsg likewise.
func (s *stream) SendMsg(m any) error {
	return s.orEnd(func() error { return s.ServerStream.SendMsg(m) })
}

func (s *stream) orEnd(f func() error) error {
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}
