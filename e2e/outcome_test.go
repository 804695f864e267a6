package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// A client's write has no answer, as its member dies while there is no majority. Any member tells what became of it, by session and xid.
func TestWhatBecameOfAWrite(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	home := c.without(c.leader(t))[0]
	rest := c.without(home)
	client := connect(t, 20*time.Second, home)
	session := client.SessionID()
	// go-zookeeper counts its requests from 1.
	if _, err := client.Create("/one", []byte("1"), 0, everyone); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create("/none/two", nil, 0, everyone); !errors.Is(err, zk.ErrNoNode) {
		t.Fatal(err)
	}
	for _, m := range rest {
		if err := m.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	lost := make(chan error, 1)
	go func() {
		_, err := client.Create("/three", nil, 0, everyone)
		lost <- err
	}()
	until(t, "the write is on its way", func() error {
		if s, err := home.status(); err != nil || s.RaftState == "leader" {
			return fmt.Errorf("%v, %v", s, err)
		}
		return nil
	})
	home.signal(t, syscall.SIGKILL)
	client.kill()
	for _, m := range rest {
		if err := m.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-lost; err == nil {
		t.Error("the write was acknowledged without a majority")
	}
	outcome := func(args ...string) (string, int) {
		t.Helper()
		cmd := exec.Command(binary, append([]string{"outcome", "--admin", rest[0].admin}, args...)...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	of := func(xid int) (out string, code int) {
		t.Helper()
		until(t, "a majority answers", func() error {
			if out, code = outcome("--session", fmt.Sprintf("0x%x", session), "--xid", fmt.Sprint(xid), "--within", "1h"); code == 1 {
				return errors.New(out)
			}
			return nil
		})
		return out, code
	}
	if out, code := of(1); code != 0 || !strings.Contains(out, "applied as zxid") || !strings.Contains(out, "created /one") {
		t.Errorf("the first: %d %s", code, out)
	}
	if out, code := of(2); code != 3 || !strings.Contains(out, "failed") || !strings.Contains(out, "/none/two: znode does not exist") {
		t.Errorf("the second: %d %s", code, out)
	}
	out, code := of(3)
	there, _, err := connect(t, 20*time.Second, rest...).Exists("/three")
	if err != nil || !there && code != 4 || there && code != 0 {
		t.Errorf("the third: %d %s; it exists: %v, %v", code, out, there, err)
	}
	home.start(t)
	home.waitReady(t)
	if again, same := of(3); same != code {
		t.Errorf("the third: first %s, then %s", out, again)
	}
	if out, code := outcome("1-99-1"); code != 1 || !strings.Contains(out, "was never given out") {
		t.Errorf("an invented id: %d %s", code, out)
	}
	if out, code := outcome("nonsense"); code != 1 || !strings.Contains(out, "MEMBER-INCARNATION-NUMBER") {
		t.Errorf("no id: %d %s", code, out)
	}
}
