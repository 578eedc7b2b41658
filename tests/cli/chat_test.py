"""`foretoken chat` on the small model: on a terminal, and from a pipe."""
import pytest

from executable import MODEL, Terminal, explain, needs_model, run

pytestmark = needs_model

GREEDY = ("--temperature", "0", "--seed", "1")
PROMPT = r"> "


@pytest.fixture
def state(tmp_path):
    return {"XDG_STATE_HOME": str(tmp_path)}


def chat(state, *arguments):
    return Terminal("chat", "-m", MODEL, *GREEDY, *arguments, environment=state)


def test_a_conversation(state):
    with chat(state, "-n", "8") as terminal:
        terminal.expect(r"/help")
        terminal.expect(PROMPT)
        terminal.send("My name is Ada.\r")
        first = terminal.expect(r"\[(\d+) tokens? \(\w+\).*seed 1\]")
        assert int(first.group(1)) <= 8
        terminal.expect(PROMPT)
        terminal.send("/exit\r")
        assert terminal.wait() == 0


def test_commands(state):
    with chat(state, "-n", "4") as terminal:
        for command, reply in (("/help", "/reset +starts anew"), ("/system Be brief.", "is set"),
                               ("/system", "No system message"), ("/show", "corrected"),
                               ("/show", "Colours are off"), ("/reset", "A new conversation"),
                               ("/nonsense", "no command /nonsense")):
            terminal.expect(PROMPT)
            terminal.send(command + "\r")
            terminal.expect(reply)
        terminal.expect(PROMPT)
        terminal.send("\x04")
        assert terminal.wait() == 0


def test_ctrl_c_stops_the_answer_and_not_the_program(state):
    with chat(state, "-n", "8000", "--context", "8192", "--ignore-end-of-text") as terminal:
        terminal.expect(PROMPT)
        terminal.send("Tell me a long story.\r")
        terminal.expect(r"story\.\r\n\S")  # it answers
        terminal.send("\x03")
        terminal.expect(r"\(cancelled\)")
        terminal.expect(PROMPT)
        terminal.send("abc")
        terminal.expect("abc")
        terminal.send("\x03")  # takes back the line, says nothing
        terminal.expect(PROMPT)
        terminal.send("\x03")
        terminal.expect(r"Ctrl-D or /exit leaves")
        assert terminal.seen.count("Ctrl-D or /exit leaves") == 1
        terminal.expect(PROMPT)
        terminal.send("\x04")
        assert terminal.wait() == 0


def test_lines_are_edited_and_joined_and_remembered(state, tmp_path):
    with chat(state, "-n", "2") as terminal:
        terminal.expect(PROMPT)
        terminal.send("/hepl\x7f\x7flp\r")  # backspaces
        terminal.expect(r"/reset +starts anew")
        terminal.expect(PROMPT)
        terminal.send("caf\u00e9 one\\\r")
        terminal.expect(r"\. ")
        terminal.send("two\r")
        terminal.expect(r"\[\d+ tokens?")
        terminal.expect(PROMPT)
        terminal.send('"""\r')
        terminal.expect(r"\. ")
        terminal.send('three"""\r')
        terminal.expect(r"\[\d+ tokens?")
        terminal.expect(PROMPT)
        terminal.send("\x1b[A")  # the last entry comes back
        terminal.expect("three")
        terminal.send("\x03")
        terminal.expect(PROMPT)
        terminal.send("\x04")
        assert terminal.wait() == 0
    history = (tmp_path / "foretoken" / "chat_history").read_text()
    assert "one" in history and "three" in history, history


def test_a_full_context_forgets_the_oldest_turns(state):
    with chat(state, "-n", "8", "--context", "256", "--ignore-end-of-text") as terminal:
        for number in range(3):
            terminal.expect(PROMPT)
            terminal.send(f"Question {number}: {'word ' * 70}\r")
            terminal.expect(r"\[\d+ tokens?")
        assert "context is full" in terminal.seen
        terminal.expect(PROMPT)
        terminal.send("word " * 300 + "\r")
        terminal.expect(r"foretoken: .*256")
        terminal.expect(PROMPT)
        terminal.send("/exit\r")
        assert terminal.wait() == 0


def test_a_pipe_holds_a_message_a_line():
    result = run("chat", "-m", MODEL, "-n", "6", *GREEDY, stdin=b"Say hello.\n\n/reset\nSay hello.")
    assert result.returncode == 0, explain(result)
    assert b"> " not in result.stdout
    half = len(result.stdout) // 2
    assert result.stdout[:half] == result.stdout[half:] != b"", explain(result)


def test_a_pipes_bad_message_is_a_failure_in_the_end():
    result = run("chat", "-m", MODEL, "-n", "6", *GREEDY, stdin=b"bad \xff\nSay hello.\n")
    assert result.returncode == 1, explain(result)
    assert b"byte 4" in result.stderr, explain(result)
    assert len(result.stdout) > 2, "the other message is answered"
