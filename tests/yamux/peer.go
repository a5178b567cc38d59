// peer.go: the reference implementation of yamux, for the tests of yamux.sh.
//
// SPDX-License-Identifier: MIT
//
// "peer serve [BACKLOG]" prints its port; with BACKLOG it accepts nothing.
// "peer dial PORT [TEST]" runs every test, or one, against ours.c.
//
// Requests are those of ours.c; a server also knows "open" and "open later"
// (when the client has gone away): what becomes of a stream to the client.
package main

import (
	"fmt"
	"hash/fnv"
	"io"
	"io/ioutil"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

const (
	mib     = 1 << 20
	request = 16
	window  = 262144
	period  = 65536
)

var pattern [2 * period]byte

func init() {
	for i := range pattern {
		pattern[i] = byte(i*7 + i>>8)
	}
}

func config() *yamux.Config {
	c := yamux.DefaultConfig()
	c.LogOutput = ioutil.Discard
	c.ConnectionWriteTimeout = 30 * time.Second
	return c
}

// send writes n bytes of the pattern.
func send(w io.Writer, n int) (int, error) {
	sent := 0
	for sent < n {
		piece := n - sent
		if piece > period {
			piece = period
		}
		k, err := w.Write(pattern[sent%period : sent%period+piece])
		sent += k
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// sum is what a sink says of what it read.
func sum(r io.Reader) string {
	hash := fnv.New64a()
	n, err := io.Copy(hash, r)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %016x", n, hash.Sum64())
}

func sumOf(n int) string {
	hash := fnv.New64a()
	send(hash, n)
	return fmt.Sprintf("%d %016x", n, hash.Sum64())
}

// check reads n bytes, which must be the pattern.
func check(r io.Reader, n int) {
	buffer := make([]byte, period)
	for at := 0; at < n; {
		k, err := r.Read(buffer)
		if string(buffer[:k]) != string(pattern[at%period:at%period+k]) {
			fail("what came is not the pattern")
		}
		at += k
		if err != nil {
			fail(fmt.Sprintf("%d bytes came instead of %d: %s", at, n, err))
		}
	}
}

// checkEnd reads the end.
func checkEnd(r io.Reader) {
	n, err := r.Read(make([]byte, 1))
	if n != 0 || err != io.EOF {
		fail("more came")
	}
}

// --- the server

type server struct {
	session *yamux.Session
	resets  int32
	release chan struct{}
}

// open opens a stream to the client, and says what became of it.
func (s *server) open() string {
	stream, err := s.session.Open()
	if err == yamux.ErrRemoteGoAway {
		return "refused"
	}
	if err != nil {
		return err.Error()
	}
	defer stream.Close()
	_, err = stream.Read(make([]byte, 1))
	if err == yamux.ErrConnectionReset {
		return "reset"
	}
	return fmt.Sprint(err)
}

func (s *server) serve(stream net.Conn) {
	var head [request]byte
	defer stream.Close()
	if _, err := io.ReadFull(stream, head[:]); err != nil {
		return
	}
	word := strings.TrimSpace(string(head[:]))
	var err error
	switch {
	case word == "echo":
		_, err = io.Copy(stream, stream)
	case strings.HasPrefix(word, "give "):
		n, _ := strconv.Atoi(word[5:])
		_, err = send(stream, n)
	case word == "sink":
		fmt.Fprint(stream, sum(stream))
	case word == "hold":
		<-s.release
		fmt.Fprint(stream, sum(stream))
	case word == "release":
		close(s.release)
		fmt.Fprint(stream, "ok")
	case word == "resets":
		fmt.Fprint(stream, atomic.LoadInt32(&s.resets))
	case word == "away":
		s.session.GoAway()
		fmt.Fprint(stream, "ok")
	case word == "open":
		fmt.Fprint(stream, s.open())
	case word == "open later":
		said := s.open()
		for said == "reset" {
			said = s.open()
		}
		fmt.Fprint(stream, said)
	}
	if err == yamux.ErrConnectionReset {
		atomic.AddInt32(&s.resets, 1)
	}
}

func serveConnection(conn net.Conn, backlog int) {
	c := config()
	if backlog > 0 {
		c.AcceptBacklog = backlog
	}
	session, err := yamux.Server(conn, c)
	if err != nil {
		log.Fatal(err)
	}
	s := &server{session: session, release: make(chan struct{})}
	for backlog == 0 {
		stream, err := session.Accept()
		if err != nil {
			return
		}
		go s.serve(stream)
	}
	<-session.CloseChan()
}

func serve(backlog int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serveConnection(conn, backlog)
	}
}

// --- the tests

var (
	session *yamux.Session
	passed  int
)

func fail(why string) {
	fmt.Printf("FAILED: %s\n%d passed, 1 failed\n", why, passed)
	os.Exit(1)
}

func must(ok bool, why interface{}) {
	if !ok {
		fail(fmt.Sprint(why))
	}
}

func ask(word string) *yamux.Stream {
	stream, err := session.OpenStream()
	must(err == nil, err)
	_, err = stream.Write([]byte(fmt.Sprintf("%-16s", word)))
	must(err == nil, err)
	return stream
}

// answer is the text that answers a request.
func answer(word string) string {
	stream := ask(word)
	text, err := ioutil.ReadAll(stream)
	must(err == nil, err)
	stream.Close()
	return string(text)
}

// give sends n bytes of the pattern.
func give(stream *yamux.Stream, n int) {
	_, err := send(stream, n)
	must(err == nil, err)
}

// echo has n bytes come back. This implementation reads nothing more on a
// stream that it has closed: that comes last.
func echo(n int) {
	stream := ask("echo")
	go give(stream, n)
	check(stream, n)
	stream.Close()
}

// sink has the server say what n bytes were.
func sink(n int) {
	stream := ask(fmt.Sprintf("sink %d", n))
	give(stream, n)
	text, err := ioutil.ReadAll(stream)
	must(err == nil, err)
	must(string(text) == sumOf(n), string(text))
	stream.Close()
}

func echoWorks() {
	echo(100000)
}

func halfCloseLeavesTheOtherDirectionOpen() {
	stream := ask("give 1000")
	check(stream, 1000)
	checkEnd(stream)
	give(stream, 3000000)
	stream.Close()
	echo(1000)
}

func speed(what string, bytes int, since time.Time) {
	fmt.Printf("  %s: %.0f MiB/s\n", what,
		float64(bytes)/mib/time.Since(since).Seconds())
}

func bytesGoUpWhole() {
	since := time.Now()
	sink(512 * mib)
	speed("up", 512*mib, since)
}

func bytesComeDownWhole() {
	since := time.Now()
	stream := ask(fmt.Sprintf("give %d", 512*mib))
	check(stream, 512*mib)
	checkEnd(stream)
	stream.Close()
	speed("down", 512*mib, since)
}

func bothDirectionsAtOnce() {
	echo(128 * mib)
}

// atOnce runs n echoes side by side.
func atOnce(n int, bytes int) {
	var group sync.WaitGroup
	for i := 0; i < n; i++ {
		group.Add(1)
		go func() {
			echo(bytes)
			group.Done()
		}()
	}
	group.Wait()
}

func twoHundredStreamsAtOnce() {
	atOnce(200, 300000)
}

func tenThousandStreamsInTurnInFlatMemory() {
	early := 0
	for i := 0; i < 10000; i++ {
		echo(100)
		if i == 1000 {
			early, _ = strconv.Atoi(answer("rss"))
		}
	}
	late, _ := strconv.Atoi(answer("rss"))
	must(early > 0 && late <= early+512, fmt.Sprint(early, late))
	must(session.NumStreams() == 0, session.NumStreams())
}

func aPingIsAnswered() {
	_, err := session.Ping()
	must(err == nil, err)
}

func aResetOfThePeersEndsTheStreamOnly() {
	for i := 0; i < 3; i++ {
		stream := ask("reset")
		_, err := stream.Read(make([]byte, 1))
		must(err == yamux.ErrConnectionReset, err)
		_, err = stream.Write(pattern[:])
		must(err == yamux.ErrConnectionReset, err)
	}
	echo(1000)
}

// held is how many bytes the server holds.
func held() int {
	n, err := strconv.Atoi(answer("held"))
	must(err == nil, err)
	return n
}

// The window may have grown by the request, which is consumed.
func aPeersWindowIsRespected() {
	stream := ask(fmt.Sprintf("hold %d", mib))
	go give(stream, mib)
	for held() < window-request {
	}
	aPingIsAnswered()
	must(held() <= window, "more came than the window allows")
	must(answer("release") == "ok", "nothing was released")
	text, err := ioutil.ReadAll(stream)
	must(err == nil, err)
	must(string(text) == sumOf(mib), string(text))
}

func thePeerStopsWhenNothingIsRead() {
	stream := ask("give 10000000")
	echo(5 * mib)
	check(stream, 10000000)
	checkEnd(stream)
}

func aGoAwayOfThePeerLetsStreamsFinish() {
	stream := ask("echo")
	must(answer("away") == "ok", "it did not go away")
	_, err := session.OpenStream()
	must(err == yamux.ErrRemoteGoAway, err)
	go give(stream, 200000)
	check(stream, 200000)
}

func aGoAwayOfOursLetsStreamsFinish() {
	stream := ask("echo")
	must(session.GoAway() == nil, "it could not be said")
	go give(stream, 200000)
	check(stream, 200000)
}

func moreThan256AtOnce() {
	atOnce(310, 5)
}

// What is more than the server has room for is reset, and nothing else.
func aFullTableResets() {
	var all [40]*yamux.Stream
	resets := 0
	for i := range all {
		all[i], _ = session.OpenStream()
		must(all[i] != nil, "a stream could not be opened")
	}
	for i, stream := range all {
		if i < 8 {
			stream.Write([]byte(fmt.Sprintf("%-16s", "echo")))
			give(stream, 100)
			check(stream, 100)
		} else if _, err := stream.Read(make([]byte, 1)); err != nil {
			must(err == yamux.ErrConnectionReset, err)
			resets++
		}
	}
	must(resets == 32, resets)
	for i := 0; i < 8; i++ {
		all[i].Close()
	}
}

var tests = []struct {
	name string
	run  func()
}{
	{"an echo works", echoWorks},
	{"half-close leaves the other direction open",
		halfCloseLeavesTheOtherDirectionOpen},
	{"bytes go up whole", bytesGoUpWhole},
	{"bytes come down whole", bytesComeDownWhole},
	{"both directions at once", bothDirectionsAtOnce},
	{"200 streams at once", twoHundredStreamsAtOnce},
	{"10,000 streams in turn, in flat memory",
		tenThousandStreamsInTurnInFlatMemory},
	{"a ping is answered", aPingIsAnswered},
	{"a reset of the peer's ends the stream only",
		aResetOfThePeersEndsTheStreamOnly},
	{"a peer's window is respected", aPeersWindowIsRespected},
	{"the peer stops when nothing is read", thePeerStopsWhenNothingIsRead},
	{"a go away of the peer lets streams finish",
		aGoAwayOfThePeerLetsStreamsFinish},
	{"a go away of ours lets streams finish", aGoAwayOfOursLetsStreamsFinish},
	{"more than 256 at once", moreThan256AtOnce},
	// The last: only when it is named.
	{"a full table resets", aFullTableResets},
}

// dial gives each test a connection, and a minute, of its own.
func dial(port string, only string) {
	for i, test := range tests {
		if only == "" && i == len(tests)-1 || only != "" && only != test.name {
			continue
		}
		fmt.Println(test.name)
		watch := time.AfterFunc(time.Minute, func() { fail("a minute is up") })
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		must(err == nil, err)
		session, err = yamux.Client(conn, config())
		must(err == nil, err)
		test.run()
		session.Close()
		watch.Stop()
		passed++
	}
	fmt.Printf("%d passed, 0 failed\n", passed)
	if passed == 0 {
		os.Exit(1)
	}
}

func main() {
	arguments := append(os.Args, "", "", "")
	switch arguments[1] {
	case "serve":
		backlog, _ := strconv.Atoi(arguments[2])
		serve(backlog)
	case "dial":
		dial(arguments[2], arguments[3])
	default:
		fmt.Fprintln(os.Stderr, "usage: peer serve [BACKLOG] | peer dial PORT [TEST]")
		os.Exit(2)
	}
}
