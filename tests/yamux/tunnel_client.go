// tunnel_client.go: sandboxd's tunnels, by the reference implementation of
// yamux over gorilla/websocket, and frame by frame, for sandboxd_tunnel.sh.
//
// SPDX-License-Identifier: MIT
//
// "tunnel_client SANDBOXD [PART-OF-A-NAME]" starts a server for each test.
// Nothing waits for a fixed time: what is waited for comes, or the test fails.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/ioutil"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
	"github.com/hashicorp/yamux"
)

const (
	mib      = 1 << 20
	window   = 262144
	patience = 20 * time.Second
)

// broken is what a failed check panics with.
type broken string

func must(ok bool, why ...interface{}) {
	if !ok {
		panic(broken(fmt.Sprint(why...)))
	}
}

func noise(n int) []byte {
	out := make([]byte, n)
	seed := uint32(n + 1)
	for i := range out {
		seed = seed*1664525 + 1013904223
		out[i] = byte(seed >> 24)
	}
	return out
}

// --- a server

type server struct {
	command  *exec.Cmd
	tmp      string
	endpoint string
	box      map[string]interface{}
	tls      *tls.Config
}

var (
	sandboxd   string
	quarantine = "quarantine_size_mb=8" // of AddressSanitizer, for what was freed
	running    *server
	closers    []io.Closer
)

func start(options ...string) *server {
	tmp, err := ioutil.TempDir("", "tunnel-")
	must(err == nil, err)
	os.Chmod(tmp, 0755)
	s := &server{tmp: tmp}
	s.command = exec.Command(sandboxd, append([]string{"--api-key", "key",
		"--provision-ms", "1", "--faults", "--die-with-parent"}, options...)...)
	s.command.Env = append(os.Environ(), "TMPDIR="+tmp,
		"ASAN_OPTIONS="+quarantine)
	s.command.Stderr = os.Stderr
	if os.Getenv("LOUD") == "" {
		s.command.Stderr = nil
		log, err := os.Create(filepath.Join(tmp, "log"))
		must(err == nil, err)
		s.command.Stderr = log
	}
	out, err := s.command.StdoutPipe()
	must(err == nil, err)
	must(s.command.Start() == nil, "no server")
	running = s
	line, err := bufio.NewReader(out).ReadBytes('\n')
	must(err == nil, err)
	var ready map[string]interface{}
	json.Unmarshal(line, &ready)
	s.endpoint = ready["endpoint"].(string)
	s.tls = &tls.Config{InsecureSkipVerify: true}
	s.box = s.call("POST", "/v2/sandboxes/boxes", `{"name":"box"}`)
	return s
}

// stop ends the server, which must end well.
func (s *server) stop() error {
	defer os.RemoveAll(s.tmp)
	running = nil
	s.command.Process.Signal(syscall.SIGTERM)
	watch := time.AfterFunc(patience, func() { s.command.Process.Kill() })
	defer watch.Stop()
	err := s.command.Wait()
	log, _ := ioutil.ReadFile(filepath.Join(s.tmp, "log"))
	if err != nil {
		return fmt.Errorf("the server: %s\n%s", err, log)
	}
	return nil
}

func (s *server) try(method, path, body string) (int, []byte) {
	request, _ := http.NewRequest(method, s.endpoint+path, strings.NewReader(body))
	request.Header.Set("X-Api-Key", "key")
	client := &http.Client{Timeout: patience,
		Transport: &http.Transport{TLSClientConfig: s.tls, DisableKeepAlives: true}}
	reply, err := client.Do(request)
	must(err == nil, err)
	text, _ := ioutil.ReadAll(reply.Body)
	reply.Body.Close()
	return reply.StatusCode, text
}

func (s *server) call(method, path, body string) map[string]interface{} {
	status, text := s.try(method, path, body)
	must(status < 300, method, " ", path, ": ", status, " ", string(text))
	out := map[string]interface{}{}
	json.Unmarshal(text, &out)
	return out
}

func (s *server) fault(body string) {
	s.call("POST", "/_faults", strings.Replace(body, "{", `{"match":"GET */tunnel",`, 1))
}

func (s *server) status(box string) string {
	return s.call("GET", "/v2/sandboxes/boxes/"+box, "")["status"].(string)
}

func (s *server) untilStatus(box, status string) {
	until(func() bool { return s.status(box) == status }, box+" is not "+status)
}

func until(is func() bool, why string) {
	for end := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		must(time.Now().Before(end), why)
	}
}

func (s *server) rss() int {
	text, _ := ioutil.ReadFile(fmt.Sprintf("/proc/%d/statm", s.command.Process.Pid))
	pages, _ := strconv.Atoi(strings.Fields(string(text))[1])
	return pages * os.Getpagesize() / 1024
}

func (s *server) files() int {
	list, _ := ioutil.ReadDir(fmt.Sprintf("/proc/%d/fd", s.command.Process.Pid))
	return len(list)
}

// --- a tunnel

// pipe makes a WebSocket's messages a stream of bytes.
type pipe struct {
	*websocket.Conn
	reader io.Reader
	lock   sync.Mutex
	kind   int
	code   int
	reason string
}

func (p *pipe) Read(to []byte) (int, error) {
	for {
		if p.reader == nil {
			_, reader, err := p.NextReader()
			if closed, ok := err.(*websocket.CloseError); ok {
				p.lock.Lock()
				p.code, p.reason = closed.Code, closed.Text
				p.lock.Unlock()
			}
			if err != nil {
				return 0, err
			}
			p.reader = reader
		}
		n, err := p.reader.Read(to)
		if err == io.EOF {
			p.reader, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (p *pipe) Write(from []byte) (int, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	return len(from), p.WriteMessage(p.kind, from)
}

// closed waits for the close that the peer said.
func (p *pipe) closed() int {
	var code int
	until(func() bool {
		p.lock.Lock()
		defer p.lock.Unlock()
		code = p.code
		return code != 0
	}, "the WebSocket was not closed")
	return code
}

func (s *server) upgrade() (*pipe, int) {
	dialer := websocket.Dialer{TLSClientConfig: s.tls, HandshakeTimeout: patience,
		ReadBufferSize: 65536, WriteBufferSize: 65536}
	url := strings.Replace(s.box["dataplane_url"].(string), "http", "ws", 1) + "/tunnel"
	conn, reply, err := dialer.Dial(url, http.Header{"X-Api-Key": {"key"}})
	if err != nil {
		must(reply != nil, err)
		return nil, reply.StatusCode
	}
	closers = append(closers, conn)
	return &pipe{Conn: conn, kind: websocket.BinaryMessage}, 101
}

type tunnel struct {
	*yamux.Session
	pipe *pipe
}

func (s *server) tunnel() *tunnel {
	p, status := s.upgrade()
	must(p != nil, "the upgrade is a ", status)
	config := yamux.DefaultConfig()
	config.LogOutput = ioutil.Discard
	config.ConnectionWriteTimeout = patience
	session, err := yamux.Client(p, config)
	must(err == nil, err)
	closers = append(closers, session)
	return &tunnel{session, p}
}

// open opens a stream: no answer is awaited.
func (t *tunnel) open(port int) *yamux.Stream {
	stream, err := t.OpenStream()
	must(err == nil, err)
	stream.SetDeadline(time.Now().Add(patience))
	_, err = stream.Write([]byte{1, byte(port >> 8), byte(port)})
	must(err == nil, err)
	return stream
}

// answer reads the status.
func answer(stream io.Reader) (int, error) {
	var status [1]byte
	_, err := io.ReadFull(stream, status[:])
	return int(status[0]), err
}

func (t *tunnel) dial(port int) *yamux.Stream {
	stream := t.open(port)
	status, err := answer(stream)
	must(err == nil && status == 0, "status ", status, " ", err)
	return stream
}

// --- services

func listen(address string, serve func(conn *net.TCPConn)) int {
	listener, err := net.Listen("tcp", address)
	must(err == nil, err)
	closers = append(closers, listener)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(conn.(*net.TCPConn))
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

func service(serve func(conn *net.TCPConn)) int {
	return listen("127.0.0.1:0", serve)
}

// echo gives back what comes, then the end.
func echo(conn *net.TCPConn) {
	io.Copy(conn, conn)
	conn.Close()
}

// sum says what came, once it has ended.
func sum(conn *net.TCPConn) {
	hash := sha256.New()
	n, err := io.Copy(hash, conn)
	fmt.Fprintf(conn, "%d %x %v", n, hash.Sum(nil), err)
	conn.Close()
}

func sumOf(bytes []byte) string {
	return fmt.Sprintf("%d %x <nil>", len(bytes), sha256.Sum256(bytes))
}

func freePort() int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err == nil, err)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// echoes sends bytes and has them come back, and the end behind them.
func echoes(stream *yamux.Stream, n int) {
	data := noise(n)
	go func() {
		stream.Write(data)
		stream.Write(nil)
	}()
	got := make([]byte, n)
	_, err := io.ReadFull(stream, got)
	must(err == nil, err)
	must(bytes.Equal(got, data), "what came back is not what was sent")
}

func wasReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET)
}

// --- frame by frame

func frame(kind, flags, id, length int, data ...byte) []byte {
	out := make([]byte, 12, 12+len(data))
	out[1] = byte(kind)
	binary.BigEndian.PutUint16(out[2:], uint16(flags))
	binary.BigEndian.PutUint32(out[4:], uint32(id))
	binary.BigEndian.PutUint32(out[8:], uint32(length))
	return append(out, data...)
}

func data(id int, bytes ...byte) []byte {
	return frame(0, 0, id, len(bytes), bytes...)
}

const (
	syn = 1
	ack = 2
	fin = 4
	rst = 8
)

type got struct {
	kind, flags, id, length int
	data                    []byte
}

// read is the next frame but pings, which are answered.
func (p *pipe) frame() (got, error) {
	for {
		var head [12]byte
		if _, err := io.ReadFull(p, head[:]); err != nil {
			return got{}, err
		}
		g := got{int(head[1]), int(binary.BigEndian.Uint16(head[2:])),
			int(binary.BigEndian.Uint32(head[4:])),
			int(binary.BigEndian.Uint32(head[8:])), nil}
		if g.kind == 0 {
			g.data = make([]byte, g.length)
			if _, err := io.ReadFull(p, g.data); err != nil {
				return got{}, err
			}
		}
		if g.kind != 2 || g.flags != syn {
			return g, nil
		}
		p.Write(frame(2, ack, 0, g.length))
	}
}

func (p *pipe) expect(want ...got) {
	for _, w := range want {
		g, err := p.frame()
		must(err == nil, "instead of ", w, ": ", err)
		if g.flags == ack && g.kind == 1 {
			g.length = 0 // credit for the header, which may go along
		}
		must(fmt.Sprint(g) == fmt.Sprint(w), "instead of ", w, ": ", g)
	}
}

// dial opens a stream by hand, as the Python SDK does: one message per frame.
func (p *pipe) dial(id, port int) {
	p.Write(frame(1, syn, id, 0))
	p.Write(data(id, 1, byte(port>>8), byte(port)))
	p.expect(got{1, ack, id, 0, nil}, got{0, 0, id, 1, []byte{0}})
}

func (s *server) pipe() *pipe {
	p, status := s.upgrade()
	must(p != nil, "the upgrade is a ", status)
	p.SetReadDeadline(time.Now().Add(patience))
	return p
}

// --- the tests

func bytesGoThroughBothWays() {
	t := start().tunnel()
	echoes(t.dial(service(echo)), 5*mib)
}

func theyDoOverTLS() {
	t := start("--tls").tunnel()
	echoes(t.dial(service(echo)), 5*mib)
}

func theyDoInMessagesOfOneByte() {
	s := start()
	s.fault(`{"messages":1}`)
	echoes(s.tunnel().dial(service(echo)), 5000)
}

func theyDoInFragments() {
	s := start()
	s.fault(`{"frames":7}`)
	echoes(s.tunnel().dial(service(echo)), 50000)
}

func theFramesAreThoseOfTheProtocol() {
	p := start().pipe()
	p.dial(1, service(echo))
	p.Write(data(1, 'h', 'i'))
	p.expect(got{0, 0, 1, 2, []byte("hi")})
	p.Write(frame(0, fin, 1, 0))
	p.expect(got{1, fin, 1, 0, nil})
}

func aHeaderMayComeByteByByte() {
	p := start().pipe()
	port := service(echo)
	p.Write(frame(1, syn, 1, 0))
	for _, b := range []byte{1, byte(port >> 8), byte(port)} {
		for _, piece := range data(1, b) {
			p.Write([]byte{piece})
		}
	}
	p.expect(got{1, ack, 1, 0, nil}, got{0, 0, 1, 1, []byte{0}})
}

func allOfAConnectionMayBeOneMessage() {
	p := start().pipe()
	port := service(echo)
	all := frame(0, syn, 1, 6, 1, byte(port>>8), byte(port), 'a', 'b', 'c')
	p.kind = websocket.BinaryMessage
	p.Write(append(all, frame(1, fin, 1, 0)...))
	p.expect(got{1, ack, 1, 0, nil})
	text := ""
	for {
		g, err := p.frame()
		must(err == nil, err)
		if g.flags == fin {
			break
		}
		text += string(g.data)
	}
	must(text == "\x00abc", text)
}

func aTextMessageIsItsBytes() {
	p := start().pipe()
	p.kind = websocket.TextMessage
	p.Write(frame(2, syn, 0, 7))
	p.expect(got{2, ack, 0, 7, nil})
}

// The reference client reads nothing on a stream that it has closed.
func anEndOfTheClientsLeavesTheAnswer() {
	p := start().pipe()
	all := noise(200000)
	p.dial(1, service(sum))
	p.Write(data(1, all...))
	p.Write(frame(0, fin, 1, 0))
	text := ""
	for {
		g, err := p.frame()
		must(err == nil, err)
		text += string(g.data)
		if g.flags == fin {
			break
		}
	}
	must(text == sumOf(all), text)
}

func anEndOfTheServicesLeavesTheOtherDirection() {
	said := make(chan string)
	t := start().tunnel()
	stream := t.dial(service(func(conn *net.TCPConn) {
		fmt.Fprint(conn, "that is all")
		conn.CloseWrite()
		hash := sha256.New()
		n, err := io.Copy(hash, conn)
		said <- fmt.Sprintf("%d %x %v", n, hash.Sum(nil), err)
	}))
	text, err := ioutil.ReadAll(stream)
	must(err == nil && string(text) == "that is all", string(text), err)
	all := noise(3 * mib)
	_, err = stream.Write(all)
	must(err == nil, err)
	stream.Close()
	must(<-said == sumOf(all), "the service has not got all")
}

func aResetOfTheServicesIsOne() {
	p := start().pipe()
	p.dial(1, service(func(conn *net.TCPConn) {
		io.ReadFull(conn, make([]byte, 1))
		conn.SetLinger(0)
		conn.Close()
	}))
	p.Write(data(1, 'x'))
	p.expect(got{1, rst, 1, 0, nil})
}

func aResetOfTheClientsIsOne() {
	ends := make(chan error)
	p := start().pipe()
	p.dial(1, service(func(conn *net.TCPConn) {
		_, err := io.Copy(ioutil.Discard, conn)
		ends <- err
	}))
	p.Write(frame(1, rst, 1, 0))
	must(wasReset(<-ends), "the service saw no reset")
	p.dial(3, service(echo))
}

func aClientThatLeavesIsAReset() {
	ends := make(chan error)
	s := start()
	p := s.pipe()
	p.dial(1, service(func(conn *net.TCPConn) {
		_, err := io.Copy(ioutil.Discard, conn)
		ends <- err
	}))
	p.UnderlyingConn().Close()
	must(wasReset(<-ends), "the service saw no reset")
}

// What a service says before it closes with bytes unread arrives.
func anAnswerBehindABrokenPipeArrives() {
	p := start().pipe()
	p.dial(1, service(func(conn *net.TCPConn) {
		io.ReadFull(conn, make([]byte, 1))
		fmt.Fprint(conn, "too large")
		conn.Close()
	}))
	p.Write(data(1, 'x'))
	p.expect(got{0, 0, 1, 9, []byte("too large")}, got{1, fin, 1, 0, nil})
	// Then its bytes have nowhere to go, and it is told.
	for {
		p.Write(data(1, noise(1000)...))
		p.SetReadDeadline(time.Now().Add(patience))
		p.Write(frame(2, syn, 0, 9))
		g, err := p.frame()
		must(err == nil, err)
		if g.flags == rst {
			break
		}
	}
}

func aServiceOnIPv6IsFound() {
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return // this machine has no IPv6
	}
	listener.Close()
	echoes(start().tunnel().dial(listen("[::1]:0", echo)), 1000)
}

func statusesSayWhatWentWrong() {
	good, nobody := service(echo), freePort()
	s := start("--tunnel-ports", fmt.Sprintf("1,%d,%d-%d", good, nobody, nobody))
	p := s.pipe()
	id := 1
	for _, row := range []struct {
		version, port, status int
	}{
		{1, good, 0},
		{1, 2, 1},
		{1, 0, 1},
		{1, 65535, 1},
		{1, nobody, 2},
		{0, good, 3},
		{2, good, 3},
		{255, 2, 3},
	} {
		p.Write(frame(1, syn, id, 0))
		p.Write(data(id, byte(row.version), byte(row.port>>8), byte(row.port)))
		p.expect(got{1, ack, id, 0, nil}, got{0, 0, id, 1, []byte{byte(row.status)}})
		if row.status != 0 {
			p.expect(got{1, fin, id, 0, nil})
		}
		p.Write(frame(1, rst, id, 0))
		id += 2
	}
}

func listsOfPortsAreChecked() {
	for _, list := range []string{"x", "0", "65536", "1-", "-1", "9-8", "1,,2", "1 ,2"} {
		err := exec.Command(sandboxd, "--tunnel-ports", list).Run()
		must(err != nil && err.(*exec.ExitError).ExitCode() == 2, list, " is a list")
	}
	p := start("--tunnel-ports", "").pipe()
	p.Write(frame(0, syn, 1, 3, 1, 0, 80))
	p.expect(got{1, ack, 1, 0, nil}, got{0, 0, 1, 1, []byte{1}})
}

func aHeaderThatEndsEarlyIsReset() {
	p := start().pipe()
	p.Write(frame(0, syn|fin, 1, 2, 1, 0))
	p.expect(got{1, rst, 1, 0, nil})
}

func rulesThatAreBrokenEndTheSession() {
	s := start()
	port := service(echo)
	for _, row := range []struct {
		what  string
		bytes []byte
	}{
		{"a version", append([]byte{1}, frame(2, syn, 0, 0)[1:]...)},
		{"a type", frame(4, 0, 0, 0)},
		{"data for stream 0", frame(0, syn, 0, 0)},
		{"credit for stream 0", frame(1, syn, 0, 0)},
		{"a ping with an id", frame(2, syn, 1, 0)},
		{"a go away with an id", frame(3, 0, 1, 0)},
		{"an even id", frame(1, syn, 2, 0)},
		{"an id twice", append(frame(1, syn, 1, 0), frame(1, syn, 1, 0)...)},
		{"too much credit", append(frame(1, syn, 1, 0), frame(1, 0, 1, -1)...)},
		{"too much data", append(frame(1, syn, 1, 0), frame(0, 0, 1, window+1)...)},
		{"data of 4 GiB", append(frame(0, syn, 1, 3, 1, byte(port>>8), byte(port)),
			frame(0, 0, 1, -1)...)},
	} {
		p := s.pipe()
		p.Write(row.bytes)
		for {
			g, err := p.frame()
			must(err == nil, row.what, ": ", err)
			if g.kind == 3 {
				must(g.length == 1, row.what, ": go away ", g.length)
				break
			}
		}
		_, err := p.frame()
		must(err != nil && p.closed() == 1002, row.what, ": ", err)
	}
}

func whatIsHarmlessIsBorne() {
	p := start().pipe()
	p.dial(1, service(echo))
	p.Write(frame(2, ack, 0, 99)) // an answer to no ping
	p.Write(data(9, 'x'))         // for a stream that is none
	p.Write(frame(1, fin, 7, 0))  // the same
	p.Write(frame(0, fin, 1, 0))  // an end, twice
	p.Write(frame(0, fin, 1, 0))
	p.expect(got{1, fin, 1, 0, nil})
	p.Write(data(1, 'x')) // for a stream that has ended
	p.Write(frame(1, rst, 1, 0))
	p.dial(3, service(echo))
}

func aPingIsAnswered() {
	t := start().tunnel()
	_, err := t.Ping()
	must(err == nil, err)
}

func aPeerThatIsSilentIsLeft() {
	ends := make(chan error)
	s := start("--tunnel-ping-ms", "50")
	p := s.pipe()
	port := service(func(conn *net.TCPConn) {
		_, err := io.Copy(ioutil.Discard, conn)
		ends <- err
	})
	p.Write(frame(0, syn, 1, 3, 1, byte(port>>8), byte(port)))
	io.Copy(ioutil.Discard, p)
	must(p.closed() == 1008, p.code)
	must(wasReset(<-ends), "the service saw no reset")
}

func aPeerThatAnswersIsKept() {
	s := start("--tunnel-ping-ms", "20")
	p := s.pipe()
	for i := 0; i < 20; i++ {
		var head [12]byte
		_, err := io.ReadFull(p, head[:])
		must(err == nil, err)
		must(head[1] == 2 && head[11] == byte(i+1), "no ping: ", head)
		head[3] = ack
		p.Write(head[:])
	}
	p.dial(1, service(echo))
}

// Pings that nobody reads the answers of: they are few in memory, and all come.
func aFloodOfPingsIsHeldBack() {
	s := start()
	p := s.pipe()
	early, many := s.rss(), 2000000
	sent := make(chan bool)
	go func() {
		var batch []byte
		for i := 0; i < many; i++ {
			batch = append(batch, frame(2, syn, 0, i)...)
			if len(batch) >= 60000 || i == many-1 {
				p.Write(batch)
				batch = nil
			}
		}
		sent <- true
	}()
	select {
	case <-sent:
		must(false, "all were taken in")
	case <-time.After(time.Second):
	}
	must(s.rss() < early+4096, "memory has grown: ", early, " ", s.rss())
	reader := bufio.NewReaderSize(p, 65536)
	for i := 0; i < many; {
		var head [12]byte // not p.frame: it would answer, and wait to do so
		_, err := io.ReadFull(reader, head[:])
		must(err == nil, err)
		must(head[1] == 2, "what is this: ", head)
		if head[3] == ack {
			must(binary.BigEndian.Uint32(head[8:]) == uint32(i), "an answer is wrong: ", head)
			i++
		}
	}
	<-sent
}

func credit(p *pipe, id int) int {
	g, err := p.frame()
	must(err == nil && g.kind == 1 && g.id == id, g, err)
	return g.length
}

// The service reads nothing: no more is taken than a window and what the
// sockets hold, and no credit is given for what waits.
func aSlowServiceSlowsItsOwnStream() {
	release := make(chan bool)
	said := make(chan string)
	s := start()
	t := s.tunnel()
	stream := t.dial(service(func(conn *net.TCPConn) {
		<-release
		hash := sha256.New()
		n, err := io.Copy(hash, conn)
		said <- fmt.Sprintf("%d %x %v", n, hash.Sum(nil), err)
	}))
	all := noise(64 * mib)
	before := s.rss()
	done := make(chan bool)
	go func() {
		stream.Write(all)
		stream.Close()
		close(done)
	}()
	for i := 0; i < 5; i++ {
		echoes(t.dial(service(echo)), 2*mib)
	}
	select {
	case <-done:
		must(false, "64 MiB were taken from the client")
	default:
	}
	must(s.rss() < before+8192, "memory has grown: ", before, " ", s.rss())
	close(release)
	must(<-said == sumOf(all), "the service has not got all")
}

// The client reads nothing on a stream: its service is held up.
func aSlowClientSlowsItsOwnStream() {
	const all = 64 * mib
	wrote := make(chan int64, 1)
	s := start()
	t := s.tunnel()
	stream := t.dial(service(func(conn *net.TCPConn) {
		n, _ := conn.Write(noise(all))
		wrote <- int64(n)
		conn.Close()
	}))
	before := s.rss()
	for i := 0; i < 5; i++ {
		echoes(t.dial(service(echo)), 2*mib)
	}
	must(len(wrote) == 0, "64 MiB were taken from the service")
	must(s.rss() < before+8192, "memory has grown: ", before, " ", s.rss())
	got, err := ioutil.ReadAll(stream)
	must(err == nil && bytes.Equal(got, noise(all)), "not all came: ", len(got), err)
}

// A client that reads nothing at all holds up everything, in little memory.
func aClientThatReadsNothingCostsLittle() {
	s := start()
	p := s.pipe()
	all := noise(20 * mib)
	port := service(func(conn *net.TCPConn) {
		conn.Write(all)
		conn.Close()
	})
	before := s.rss()
	for id := 1; id < 101; id += 2 {
		p.Write(frame(0, syn, id, 3, 1, byte(port>>8), byte(port)))
		p.Write(frame(1, 0, id, 100*mib))
	}
	s.status("box") // it still serves others
	s.status("box")
	must(s.rss() < before+8192, "memory has grown: ", before, " ", s.rss())
	g, err := p.frame()
	must(err == nil && g.flags == ack, err)
}

func windowsAreKeptTo() {
	p := start().pipe()
	sent := noise(window + 1000)
	port := service(func(conn *net.TCPConn) { conn.Write(sent) })
	p.Write(frame(0, syn, 1, 3, 1, byte(port>>8), byte(port)))
	p.expect(got{1, ack, 1, 0, nil})
	var all []byte // the status, and what the service says
	for len(all) < window {
		g, err := p.frame()
		must(err == nil && g.kind == 0, err)
		all = append(all, g.data...)
	}
	must(len(all) == window, "the window was overrun: ", len(all))
	must(all[0] == 0 && bytes.Equal(all[1:], sent[:window-1]), "other bytes came")
	p.Write(frame(2, syn, 0, 5)) // nothing comes but the answer to this
	p.expect(got{2, ack, 0, 5, nil})
	p.Write(frame(1, 0, 1, 1))
	p.expect(got{0, 0, 1, 1, sent[window-1 : window]})
	p.Write(frame(1, 0, 1, 2000))
	p.expect(got{0, 0, 1, 1000, sent[window:]})
}

func creditIsWhatWasConsumed() {
	p := start().pipe()
	p.dial(1, service(echo))
	taken := make([]byte, window/2)
	p.Write(frame(1, 0, 1, 10*window))
	p.Write(data(1, taken...))
	for {
		g, err := p.frame()
		must(err == nil, err)
		if g.kind == 1 {
			credit := g.length
			if credit > window { // its window has grown as well, to twice
				credit -= window
			}
			must(credit >= window/4 && credit <= window/2 && g.flags == 0, g)
			break
		}
	}
}

func manyAtOnce() {
	t := start().tunnel()
	port := service(echo)
	var group sync.WaitGroup
	failed := make(chan interface{}, 1000)
	for i := 0; i < 300; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			defer func() {
				if why := recover(); why != nil {
					failed <- why
				}
			}()
			stream := t.dial(port)
			echoes(stream, 100000)
			stream.Close()
		}()
	}
	group.Wait()
	must(len(failed) == 0, len(failed), " failed")
	until(func() bool { return t.NumStreams() == 0 }, "streams live on")
}

func manyInTurnInFlatMemory() {
	before := quarantine
	quarantine = "quarantine_size_mb=0:thread_local_quarantine_size_kb=0"
	s := start()
	quarantine = before
	t := s.tunnel()
	port := service(echo)
	early, files := 0, s.files()
	for i := 0; i < 5000; i++ {
		stream := t.dial(port)
		echoes(stream, 1000)
		stream.Close()
		ioutil.ReadAll(stream)
		if i == 1000 {
			early = s.rss()
		}
	}
	must(s.rss() < early+1024, "memory has grown: ", early, " ", s.rss())
	until(func() bool { return s.files() <= files }, "descriptors are left")
}

// resets counts the streams of `ids` that are reset while the rest is accepted.
func (p *pipe) openMany(count int, header ...byte) (accepted, reset int) {
	var all []byte
	for i := 0; i < count; i++ {
		all = append(all, frame(0, syn, 2*i+1, len(header), header...)...)
	}
	p.Write(all)
	for accepted+reset < count {
		g, err := p.frame()
		must(err == nil, err)
		if g.kind == 1 && g.flags == ack {
			accepted++
		} else if g.kind == 1 && g.flags == rst {
			reset++
		}
	}
	return
}

func moreStreamsThanAllowedAreReset() {
	port := service(echo)
	s := start("--max-streams", "8")
	p := s.pipe()
	accepted, reset := p.openMany(20, 1, byte(port>>8), byte(port))
	must(accepted == 8 && reset == 12, accepted, " accepted, ", reset, " reset")
	p.Write(frame(1, rst, 1, 0))
	p.Write(frame(1, syn, 99, 0)) // there is a place again
	for {
		g, err := p.frame()
		must(err == nil, err)
		if g.id == 99 {
			must(g.flags == ack, g)
			break
		}
	}
}

// The accept backlog, as the reference server has it: what comes at once.
func streamsBeyondTheBacklogAreReset() {
	accepted, reset := start().pipe().openMany(270)
	must(accepted == 256 && reset == 14, accepted, " accepted, ", reset, " reset")
}

func aGoAwayOfTheClientsLetsStreamsFinish() {
	t := start().tunnel()
	stream := t.dial(service(echo))
	must(t.GoAway() == nil, "it could not be said")
	echoes(stream, mib)
}

// away has a server go away while a stream is open.
func away(signal os.Signal, options ...string) (*server, *tunnel, *yamux.Stream) {
	s := start(options...)
	t := s.tunnel()
	stream := t.dial(service(echo))
	must(s.command.Process.Signal(signal) == nil, "no signal")
	until(func() bool {
		other, err := t.OpenStream()
		if err == nil {
			other.Close()
		}
		return err == yamux.ErrRemoteGoAway
	}, "it did not go away")
	return s, t, stream
}

func aReloadLetsStreamsFinish() {
	s, t, stream := away(syscall.SIGHUP, "--drain-ms", "600000")
	echoes(stream, mib)
	stream.Close()
	must(t.pipe.closed() == 1001, t.pipe.code)
	echoes(s.tunnel().dial(service(echo)), 1000)
}

func aStopLetsStreamsFinish() {
	s, t, stream := away(syscall.SIGTERM, "--drain-ms", "600000")
	echoes(stream, mib)
	stream.Close()
	must(t.pipe.closed() == 1001, t.pipe.code)
	must(s.stop() == nil, "it did not stop")
}

func aSecondSignalWaitsForNothing() {
	s, _, _ := away(syscall.SIGTERM, "--drain-ms", "600000")
	must(s.stop() == nil, "it did not stop")
}

func streamsThatTakeTooLongAreReset() {
	_, t, stream := away(syscall.SIGHUP, "--drain-ms", "100")
	_, err := stream.Read(make([]byte, 1))
	must(err == yamux.ErrConnectionReset || err == io.EOF || err == yamux.ErrSessionShutdown, err)
	must(t.pipe.closed() == 1001, t.pipe.code)
}

func aTunnelWithoutStreamsIsClosedAtOnce() {
	s := start("--drain-ms", "600000")
	p := s.pipe()
	p.dial(1, service(echo))
	p.Write(frame(1, rst, 1, 0))
	p.Write(frame(2, syn, 0, 1))
	p.expect(got{2, ack, 0, 1, nil})
	s.command.Process.Signal(syscall.SIGHUP)
	p.expect(got{3, 0, 0, 0, nil})
	_, err := p.frame()
	must(err != nil && p.closed() == 1001, err)
}

func theEndOfABoxIsTheEndOfItsTunnels() {
	for _, how := range [][2]string{{"POST", "/v2/sandboxes/boxes/box/stop"},
		{"DELETE", "/v2/sandboxes/boxes/box"}} {
		ends := make(chan error)
		s := start()
		p := s.pipe()
		p.dial(1, service(func(conn *net.TCPConn) {
			_, err := io.Copy(ioutil.Discard, conn)
			ends <- err
		}))
		s.call(how[0], how[1], "")
		must(wasReset(<-ends), "the service saw no reset")
		p.expect(got{3, 0, 0, 0, nil}, got{1, rst, 1, 0, nil})
		_, err := p.frame()
		must(err != nil && p.closed() == 1001, err)
		must(s.stop() == nil, "the server")
	}
}

func aBoxIsNotIdleWhileAConnectionIsOpen() {
	s := start("--second-ms", "5", "--tunnel-ping-ms", "100")
	s.call("PATCH", "/v2/sandboxes/boxes/box", `{"idle_ttl_seconds":60}`)
	s.untilStatus("box", "ready")
	t := s.tunnel()
	stream := t.dial(service(echo))
	s.call("POST", "/v2/sandboxes/boxes", `{"name":"other","idle_ttl_seconds":60}`)
	s.untilStatus("other", "stopped")
	must(s.status("box") == "ready", "it has stopped")
	echoes(stream, 1000)
	stream.Close()
	s.untilStatus("box", "stopped")
	must(t.pipe.closed() == 1001, t.pipe.code)
}

func aBoxThatIsStoppedIsWoken() {
	s := start()
	s.call("POST", "/v2/sandboxes/boxes/box/stop", "")
	s.untilStatus("box", "stopped")
	echoes(s.tunnel().dial(service(echo)), 1000)
	must(s.status("box") == "ready", "it has not been woken")
}

func whatIsNoUpgradeIsRefused() {
	s := start()
	path := strings.TrimPrefix(s.box["dataplane_url"].(string), s.endpoint) + "/tunnel"
	status, _ := s.try("POST", path, "")
	must(status == 405, status)
	status, _ = s.try("GET", path, "")
	must(status == 400 || status == 426, status)
	status, _ = s.try("GET", "/dp/none/tunnel", "")
	must(status == 404, status)
}

// --- faults

func anUpgradeIsRefused() {
	s := start()
	s.fault(`{"status":503,"body":{"detail":{"error":"ServiceUnavailable"}}}`)
	p, status := s.upgrade()
	must(p == nil && status == 503, status)
	s.pipe()
}

func aFaultCutsOrCloses() {
	s := start()
	for _, row := range []struct {
		fault string
		code  int
	}{
		{`{"socket":"cut","after":2}`, 1006},
		{`{"socket":"close","code":1011,"after":2}`, 1011},
	} {
		s.fault(row.fault)
		p := s.pipe()
		p.Write(frame(1, syn, 1, 0))
		p.expect(got{1, ack, 1, 0, nil})
		_, err := p.frame()
		must(err != nil, "it goes on")
		if row.code != 1006 {
			must(p.closed() == row.code, p.code)
		} else {
			_, ok := err.(*websocket.CloseError)
			must(!ok || p.code == 1006, err)
		}
	}
}

// Nothing is heard of, until the client's own patience ends.
func aFaultIsSilent() {
	s := start()
	s.fault(`{"socket":"silent","after":1}`)
	p := s.pipe()
	var head [12]byte
	_, err := io.ReadFull(p, head[:])
	must(err == nil && head[1] == 2, err)
	p.Write(frame(2, syn, 0, 1))
	p.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	_, err = p.frame()
	timeout, ok := err.(net.Error)
	must(ok && timeout.Timeout(), "it spoke: ", err)
}

func aFaultsFrames() {
	s := start()
	s.fault(`{"socket":"binary","hex":true,"body":"070000000000000000000000","after":1}`)
	p := s.pipe()
	io.ReadFull(p, make([]byte, 12))
	var head [12]byte
	_, err := io.ReadFull(p, head[:])
	must(err == nil && head[0] == 7, err, head)
}

func aStatusOfAnyKind() {
	s := start()
	s.fault(`{"stream":"status","code":77,"streams":1}`)
	t := s.tunnel()
	port := service(echo)
	status, err := answer(t.open(port))
	must(err == nil && status == 77, status, err)
	status, err = answer(t.open(port))
	must(err == nil && status == 0, status, err)
}

func aStatusThatIsLate() {
	s := start()
	s.fault(`{"stream":"slow","delay":300}`)
	t := s.tunnel()
	for _, port := range []int{service(echo), freePort()} {
		since := time.Now()
		status, err := answer(t.open(port))
		must(err == nil && (status == 0 || status == 2), status, err)
		must(time.Since(since) > 290*time.Millisecond, "it was early")
	}
}

func aStreamThatIsResetOrEnds() {
	port := service(func(conn *net.TCPConn) {
		conn.Write(noise(mib))
		io.Copy(ioutil.Discard, conn)
		conn.Close()
	})
	for _, row := range []struct {
		fault string
		least int
		flags int
	}{
		{`{"stream":"reset"}`, 0, rst},
		{`{"stream":"finish"}`, 0, fin},
		{`{"stream":"reset","after":1}`, 1, rst},
		{`{"stream":"reset","after":20000}`, 20000, rst},
		{`{"stream":"finish","after":20000}`, 20000, fin},
	} {
		s := start()
		s.fault(row.fault)
		p := s.pipe()
		p.Write(frame(0, syn, 1, 3, 1, byte(port>>8), byte(port)))
		p.expect(got{1, ack, 1, 0, nil})
		n := 0
		for {
			g, err := p.frame()
			must(err == nil, err)
			if g.kind == 1 {
				must(g.flags == row.flags, g)
				break
			}
			n += g.length
		}
		must(n >= row.least && n < row.least+20000, row.fault, ": ", n)
		p.Write(frame(1, fin, 1, 0))
		must(s.stop() == nil, "the server")
	}
}

func aGoAwayInMidStream() {
	s := start()
	s.fault(`{"stream":"away","after":1000}`)
	t := s.tunnel()
	stream := t.dial(service(echo))
	_, err := t.OpenStream()
	must(err == nil, err)
	echoes(stream, 100000)
	_, err = t.OpenStream()
	must(err == yamux.ErrRemoteGoAway, err)
	echoes(stream, 100000)
}

// --- figures

func speed(what string, n int, since time.Time) {
	fmt.Printf("  %s: %.0f MiB/s\n", what, float64(n)/mib/time.Since(since).Seconds())
}

func throughput() {
	const n = 256 * mib
	t := start().tunnel()
	block := noise(mib)
	done := make(chan int64)
	stream := t.dial(service(func(conn *net.TCPConn) {
		n, _ := io.Copy(ioutil.Discard, conn)
		done <- n
	}))
	since := time.Now()
	for i := 0; i < n/mib; i++ {
		stream.Write(block)
	}
	stream.Close()
	must(<-done == n, "not all went up")
	speed("up", n, since)
	stream = t.dial(service(func(conn *net.TCPConn) {
		for i := 0; i < n/mib; i++ {
			conn.Write(block)
		}
		conn.Close()
	}))
	since = time.Now()
	got, err := io.Copy(ioutil.Discard, stream)
	must(err == nil && got == n, "not all came down: ", got, err)
	speed("down", n, since)
}

var tests = []struct {
	name string
	run  func()
}{
	{"bytes go through both ways", bytesGoThroughBothWays},
	{"they do over TLS", theyDoOverTLS},
	{"they do in messages of one byte", theyDoInMessagesOfOneByte},
	{"they do in fragments, with pings between them", theyDoInFragments},
	{"the frames are those of the protocol", theFramesAreThoseOfTheProtocol},
	{"a header may come byte by byte", aHeaderMayComeByteByByte},
	{"all of a connection may be one message", allOfAConnectionMayBeOneMessage},
	{"a text message is its bytes", aTextMessageIsItsBytes},
	{"an end of the client's leaves the answer", anEndOfTheClientsLeavesTheAnswer},
	{"an end of the service's leaves the other direction",
		anEndOfTheServicesLeavesTheOtherDirection},
	{"a reset of the service's is a reset", aResetOfTheServicesIsOne},
	{"a reset of the client's is a reset", aResetOfTheClientsIsOne},
	{"a client that leaves is a reset", aClientThatLeavesIsAReset},
	{"an answer behind a broken pipe arrives", anAnswerBehindABrokenPipeArrives},
	{"a service that is on IPv6 only is found", aServiceOnIPv6IsFound},
	{"statuses say what went wrong", statusesSayWhatWentWrong},
	{"lists of ports are checked", listsOfPortsAreChecked},
	{"a header that ends early is reset", aHeaderThatEndsEarlyIsReset},
	{"rules that are broken end the session", rulesThatAreBrokenEndTheSession},
	{"what is harmless is borne", whatIsHarmlessIsBorne},
	{"a ping is answered", aPingIsAnswered},
	{"a peer that is silent is left", aPeerThatIsSilentIsLeft},
	{"a peer that answers is kept", aPeerThatAnswersIsKept},
	{"a flood of pings is held back", aFloodOfPingsIsHeldBack},
	{"a slow service slows its own stream alone", aSlowServiceSlowsItsOwnStream},
	{"a slow client slows its own stream alone", aSlowClientSlowsItsOwnStream},
	{"a client that reads nothing costs little", aClientThatReadsNothingCostsLittle},
	{"windows are kept to", windowsAreKeptTo},
	{"credit is for what was consumed", creditIsWhatWasConsumed},
	{"300 connections at once", manyAtOnce},
	{"5,000 in turn, in flat memory", manyInTurnInFlatMemory},
	{"more streams than are allowed are reset", moreStreamsThanAllowedAreReset},
	{"streams beyond the backlog of 256 are reset", streamsBeyondTheBacklogAreReset},
	{"a go away of the client's lets streams finish", aGoAwayOfTheClientsLetsStreamsFinish},
	{"a reload lets streams finish", aReloadLetsStreamsFinish},
	{"a stop lets streams finish", aStopLetsStreamsFinish},
	{"a second signal waits for nothing", aSecondSignalWaitsForNothing},
	{"streams that take too long then are reset", streamsThatTakeTooLongAreReset},
	{"a tunnel without streams is closed at once", aTunnelWithoutStreamsIsClosedAtOnce},
	{"the end of a box is the end of its tunnels", theEndOfABoxIsTheEndOfItsTunnels},
	{"a box is not idle while a connection is open", aBoxIsNotIdleWhileAConnectionIsOpen},
	{"a box that is stopped is woken", aBoxThatIsStoppedIsWoken},
	{"what is no upgrade is refused", whatIsNoUpgradeIsRefused},
	{"a fault: an upgrade is refused", anUpgradeIsRefused},
	{"a fault: it is cut, or closed", aFaultCutsOrCloses},
	{"a fault: it is silent", aFaultIsSilent},
	{"a fault: any frame", aFaultsFrames},
	{"a fault: a status of any kind", aStatusOfAnyKind},
	{"a fault: a status that is late", aStatusThatIsLate},
	{"a fault: a stream that is reset, or ends", aStreamThatIsResetOrEnds},
	{"a fault: a go away in mid-stream", aGoAwayInMidStream},
	{"throughput", throughput},
}

// attempt runs a test; the server that is left must end well.
func attempt(run func()) (why interface{}) {
	defer func() {
		why = recover()
		for _, closer := range closers {
			closer.Close()
		}
		closers = nil
		if running != nil {
			if err := running.stop(); err != nil && why == nil {
				why = err
			}
		}
	}()
	run()
	return nil
}

func main() {
	passed, failed := 0, 0
	sandboxd = os.Args[1]
	for _, test := range tests {
		if len(os.Args) > 2 && !strings.Contains(test.name, os.Args[2]) {
			continue
		}
		name, since := test.name, time.Now()
		watch := time.AfterFunc(3*patience, func() {
			fmt.Printf("FAILED %s: a minute is up\n%d passed, %d failed\n", name, passed, failed+1)
			os.Exit(1)
		})
		if why := attempt(test.run); why != nil {
			fmt.Printf("FAILED %s\n  %v\n", test.name, why)
			failed++
		} else {
			passed++
		}
		watch.Stop()
		if os.Getenv("SLOW") != "" {
			fmt.Printf("  %.2f s: %s\n", time.Since(since).Seconds(), test.name)
		}
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		os.Exit(1)
	}
}
