package fencegrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/strata-coord/strata/coord/lock/fence"
	"github.com/strata-coord/strata/coord/lock/fence/fencegrpc"
)

// service echoes. Its unary calls run call if there is one; its streams say in ended why they ended.
type service struct {
	pb.UnimplementedTestServiceServer
	call  func(context.Context)
	ended chan error
}

func (s *service) UnaryCall(ctx context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if s.call != nil {
		s.call(ctx)
	}
	return &pb.SimpleResponse{Payload: r.GetPayload()}, ctx.Err()
}

func (s *service) EmptyCall(context.Context, *pb.Empty) (*pb.Empty, error) { return &pb.Empty{}, nil }

func (s *service) FullDuplexCall(stream pb.TestService_FullDuplexCallServer) (err error) {
	defer func() { s.ended <- err }()
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: r.GetPayload()}); err != nil {
			return err
		}
	}
}

func resource(_ context.Context, method string, _ any) (string, bool) {
	return "db", !strings.HasSuffix(method, "/EmptyCall")
}

// serve starts a server; it returns how to connect to it, with what options.
func serve(t *testing.T, s *service, store fence.Store) func(...grpc.DialOption) pb.TestServiceClient {
	t.Helper()
	s.ended = make(chan error, 10)
	c := fence.NewChecker(store)
	server := grpc.NewServer(grpc.UnaryInterceptor(fencegrpc.UnaryServerInterceptor(c, resource)), grpc.StreamInterceptor(fencegrpc.StreamServerInterceptor(c, resource)))
	pb.RegisterTestServiceServer(server, s)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return func(opts ...grpc.DialOption) pb.TestServiceClient {
		conn, err := grpc.NewClient(l.Addr().String(), append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		})
		return pb.NewTestServiceClient(conn)
	}
}

// holder is a fence.Source.
type holder struct {
	token int64
	ctx   context.Context
	lose  context.CancelCauseFunc
}

func (h *holder) Token() int64             { return h.token }
func (h *holder) Context() context.Context { return h.ctx }

func as(token int64) (*holder, []grpc.DialOption) {
	h := &holder{token: token}
	h.ctx, h.lose = context.WithCancelCause(context.Background())
	return h, []grpc.DialOption{grpc.WithUnaryInterceptor(fencegrpc.UnaryClientInterceptor(h)), grpc.WithStreamInterceptor(fencegrpc.StreamClientInterceptor(h))}
}

func wantStale(t *testing.T, err error, token, highest int64) {
	t.Helper()
	var stale *fence.StaleTokenError
	if !errors.As(err, &stale) || *stale != (fence.StaleTokenError{Resource: "db", Token: token, Highest: highest}) {
		t.Errorf("%v, want a stale token %d, below %d", err, token, highest)
	}
}

var hello = &pb.SimpleRequest{Payload: &pb.Payload{Body: []byte("hello")}}

func TestUnary(t *testing.T) {
	t.Parallel()
	dial := serve(t, &service{}, nil)
	holder5, opts5 := as(5)
	_, opts6 := as(6)
	old, next := dial(opts5...), dial(opts6...)
	for _, c := range []pb.TestServiceClient{old, next} {
		if r, err := c.UnaryCall(t.Context(), hello); err != nil || string(r.GetPayload().GetBody()) != "hello" {
			t.Errorf("%v, %v", r, err)
		}
	}
	_, err := old.UnaryCall(t.Context(), hello)
	wantStale(t, err, 5, 6)
	if _, err := old.EmptyCall(t.Context(), &pb.Empty{}); err != nil {
		t.Errorf("a call that needs no token: %v", err)
	}
	why := errors.New("its session has ended")
	holder5.lose(why)
	if _, err := old.UnaryCall(t.Context(), hello); !errors.Is(err, why) {
		t.Errorf("after the loss: %v", err)
	}

	plain := dial()
	for _, tokens := range [][]string{nil, {"0"}, {"-1"}, {"x"}, {"6", "6"}} {
		ctx := t.Context()
		for _, token := range tokens {
			ctx = metadata.AppendToOutgoingContext(ctx, fencegrpc.Key, token)
		}
		if _, err := plain.UnaryCall(ctx, hello); status.Code(err) != codes.InvalidArgument {
			t.Errorf("tokens %q: %v", tokens, err)
		}
	}
	_, err = plain.UnaryCall(metadata.AppendToOutgoingContext(t.Context(), fencegrpc.Key, "1"), hello)
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a stale token: %v", err)
	}
	wantStale(t, fencegrpc.FromError(err), 1, 6)
}

// broken is a store that can't keep anything.
type broken struct{}

func (broken) Raise(context.Context, string, int64) (int64, error) {
	return 0, errors.New("no space left")
}

func TestNothingPassesWithoutTheStore(t *testing.T) {
	t.Parallel()
	_, opts := as(5)
	c := serve(t, &service{call: func(context.Context) { t.Error("it ran") }}, broken{})(opts...)
	if _, err := c.UnaryCall(t.Context(), hello); status.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
}

// TestUnaryGivesUpWithTheLock loses the lock under a call.
func TestUnaryGivesUpWithTheLock(t *testing.T) {
	t.Parallel()
	h, opts := as(5)
	why := errors.New("its session has ended")
	c := serve(t, &service{call: func(ctx context.Context) {
		h.lose(why)
		<-ctx.Done()
	}}, nil)(opts...)
	if _, err := c.UnaryCall(t.Context(), hello); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}

// TestTheNextCallEndsTheStreamBefore: the old holder's stream waits in Recv when the next one comes.
func TestTheNextCallEndsTheStreamBefore(t *testing.T) {
	t.Parallel()
	s := &service{}
	dial := serve(t, s, nil)
	_, opts5 := as(5)
	_, opts6 := as(6)
	stream, err := dial(opts5...).FullDuplexCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := stream.Send(&pb.StreamingOutputCallRequest{Payload: hello.GetPayload()}); err != nil {
			t.Fatal(err)
		}
		if r, err := stream.Recv(); err != nil || string(r.GetPayload().GetBody()) != "hello" {
			t.Fatalf("%v, %v", r, err)
		}
	}
	if _, err := dial(opts6...).UnaryCall(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	wantStale(t, <-s.ended, 5, 6)
	_, err = stream.Recv()
	wantStale(t, err, 5, 6)
	if stream, err = dial(opts5...).FullDuplexCall(t.Context()); err == nil {
		_, err = stream.Recv()
	}
	wantStale(t, err, 5, 6)
}

func TestStreamEndsWithTheLock(t *testing.T) {
	t.Parallel()
	s := &service{}
	h, opts := as(5)
	c := serve(t, s, nil)(opts...)
	stream, err := c.FullDuplexCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("at its end: %v", err)
	}
	if err := <-s.ended; err != nil {
		t.Errorf("the server's side: %v", err)
	}
	if stream, err = c.FullDuplexCall(t.Context()); err != nil {
		t.Fatal(err)
	}
	why := errors.New("its session has ended")
	h.lose(why)
	if _, err := stream.Recv(); !errors.Is(err, why) {
		t.Errorf("after the loss: %v", err)
	}
	if _, err = c.FullDuplexCall(t.Context()); !errors.Is(err, why) {
		t.Errorf("another one after the loss: %v", err)
	}
}

func ExampleUnaryServerInterceptor() {
	store, err := fence.OpenFile("fencing-tokens.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	// One lock protects all that this service writes.
	all := func(_ context.Context, method string, _ any) (string, bool) {
		return "shard 00", !strings.Contains(method, "/Get")
	}
	checker := fence.NewChecker(store)
	server := grpc.NewServer(
		grpc.UnaryInterceptor(fencegrpc.UnaryServerInterceptor(checker, all)),
		grpc.StreamInterceptor(fencegrpc.StreamServerInterceptor(checker, all)),
	)
	defer server.Stop()
}
