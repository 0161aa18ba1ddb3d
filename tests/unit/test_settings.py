"""lab.toml and the environment: what they may say, and how their mistakes are told."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh_lab.errors import LabError
from mesh_lab.settings import HostPort, Lab, Mesh, Ports, Settings, Site, find_directory, load

REPOSITORY = Path(__file__).parent.parent.parent


def lab_of(directory: Path, text: str = "", **environ: str) -> Lab:
    if text:
        (directory / "lab.toml").write_text(text)
    return load(directory, environ)


def test_without_a_file_everything_has_a_default(tmp_path: Path) -> None:
    lab = lab_of(tmp_path)
    assert lab.settings == Settings()
    assert lab.state_dir == tmp_path / ".lab"
    assert lab.kubeconfig == tmp_path / ".lab" / "kubeconfig"


def test_the_repositorys_own_file_states_the_defaults() -> None:
    document = tomllib.loads((REPOSITORY / "lab.toml").read_text())
    assert msgspec.convert(document, Settings) == Settings()
    assert set(document) == set(Settings.__struct_fields__) - {"images", "host_ports"}
    assert set(document["ports"]) == set(Ports.__struct_fields__)


def test_the_examples_in_the_repositorys_own_file_hold(tmp_path: Path) -> None:
    lines = (REPOSITORY / "lab.toml").read_text().splitlines()
    examples = [line[2:] for line in lines if line.startswith(("# [", "# ")) and (" = " in line or "[" in line[:4])]
    lab = lab_of(tmp_path, "\n".join(examples))
    assert lab.settings.images["example/hello"].command == ["python3", "-m", "http.server"]
    assert lab.settings.internet.hosts == {"api.example.net": Site(serves="httpbin", https=(443, 8443))}
    assert lab.settings.host_ports == [HostPort("default", "productpage", 9080, 9080)]


def test_the_environment_overrules_the_file_and_options_overrule_both(tmp_path: Path) -> None:
    text = 'name = "filed"\n[ports]\nhttp = 1000\nhttps = 1001\n'
    lab = lab_of(tmp_path, text, MESH_LAB_NAME="two", MESH_LAB_HTTP_PORT="2000", MESH_LAB_API_PORT="0")
    assert (lab.name, lab.settings.ports) == ("two", Ports(api=0, http=2000, https=1001))
    assert lab.state_dir == tmp_path / ".lab-two"
    assert load(tmp_path, {"MESH_LAB_NAME": "two"}, name="three").name == "three"


def test_the_profile_is_that_of_the_option_or_of_the_environment_or_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text('[mesh]\nprofile = "demo"\n')
    assert load(tmp_path, {}).settings.mesh == Mesh("demo")
    assert load(tmp_path, {"MESH_LAB_PROFILE": "default"}).settings.mesh == Mesh("default")
    assert load(tmp_path, {"MESH_LAB_PROFILE": "default"}, profile="demo").settings.mesh == Mesh("demo")


def test_the_ip_family_is_that_of_the_option_or_of_the_environment_or_of_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, {}).settings.ip_family == "ipv4"
    (tmp_path / "lab.toml").write_text('ip_family = "dual"\n')
    assert load(tmp_path, {}, cluster="kind").settings.ip_family == "dual"
    assert load(tmp_path, {"MESH_LAB_IP_FAMILY": "ipv4"}).settings.ip_family == "ipv4"
    assert load(tmp_path, {"MESH_LAB_IP_FAMILY": "ipv4"}, ip_family="dual").settings.ip_family == "dual"
    with pytest.raises(LabError, match="an existing cluster has the families that it has"):
        load(tmp_path, {}, cluster="existing")
    with pytest.raises(LabError, match="unknown IP family 'ipv6'"):
        load(tmp_path, {}, ip_family="ipv6")


def test_the_dialects_are_those_of_the_environment_or_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text('[mesh]\ndialects = ["istio"]\n')
    assert load(tmp_path, {}).settings.mesh.dialects == ("istio",)
    given = load(tmp_path, {"MESH_LAB_DIALECTS": "istio, consul"}, profile="demo").settings.mesh
    assert given == Mesh("demo", dialects=("istio", "consul"))
    with pytest.raises(LabError, match="MESH_LAB_DIALECTS: unknown dialect in 'istio,smi'"):
        load(tmp_path, {"MESH_LAB_DIALECTS": "istio,smi"})
    with pytest.raises(LabError, match=r"mesh\.dialects: for the embedded cluster"):
        load(tmp_path, {}, cluster="kind")


def test_the_samples_are_left_out_by_the_file_or_by_the_option_and_the_profile_stays(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text('[mesh]\nprofile = "demo"\n')
    assert load(tmp_path, {}, samples=False).settings.mesh == Mesh("demo", samples=False)
    (tmp_path / "lab.toml").write_text("[mesh]\nsamples = false\n")
    assert load(tmp_path, {}, profile="demo").settings.mesh == Mesh("demo", samples=False)
    with pytest.raises(LabError, match=r"mesh\.samples: only the embedded cluster comes up without the samples"):
        load(tmp_path, {}, cluster="kind")


def test_a_way_out_to_the_real_internet_is_refused_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"lab\.toml:2: internet\.real: the embedded cluster has no way out"):
        lab_of(tmp_path, "[internet]\nreal = true\n")
    assert load(tmp_path, {}, cluster="kind").settings.internet.real


def test_the_port_for_tcp_is_taken_with_the_profile_that_has_one(tmp_path: Path) -> None:
    text = "[[host_ports]]\nnamespace = 'a'\nservice = 'b'\nport = 1\nhost_port = 31400\n"
    assert set(lab_of(tmp_path, text).settings.own_ports) == {"api", "http", "https"}
    with pytest.raises(LabError, match=r"lab\.toml:5: host_ports\[0\]\.host_port: ports\.tcp asks for port 31400, too"):
        load(tmp_path, {}, profile="demo")
    assert load(tmp_path, {"MESH_LAB_TCP_PORT": "0"}, profile="demo").settings.own_ports["tcp"] == 0


@pytest.mark.parametrize(
    ("environ", "cluster", "told"),
    [
        ({"MESH_LAB_PROFILE": "minimal"}, None, "unknown profile 'minimal'"),
        ({"MESH_LAB_PROFILE": "demo"}, "kind", "mesh.profile: demo is for the embedded cluster"),
    ],
)
def test_a_profile_that_cannot_be_had_is_refused(
    tmp_path: Path, environ: dict[str, str], cluster: str | None, told: str
) -> None:
    with pytest.raises(LabError) as failure:
        load(tmp_path, environ, cluster=cluster)
    assert failure.value.message == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[ports]\napi = 'x'\n", "lab.toml:2: ports.api: Expected `int`, got `str`"),
        ("\n[ports]\nhttp = 1\nhttps = 70000\n", "lab.toml:4: ports.https: Expected `int` <= 65535"),
        ("ports.api = -1\n", "lab.toml:1: ports.api: Expected `int` >= 0"),
        ("name = 'a'\n\n[prots]\napi = 1\n", "lab.toml:3: prots: no such setting"),
        ("[ports]\nhttp = 1\nhtpps = 2\n", "lab.toml:3: ports.htpps: no such setting"),
        ("name = 'Lab'\n", "lab.toml:1: name: Expected `str` matching regex"),
        ("[images.'a/b']\ncommand = []\n", 'lab.toml:2: images."a/b".command: Expected `array` of length >= 1'),
        ("[images.a]\ncommand = []\n[images.b]\ncommand = []", "lab.toml:2: images.a.command: Expected `array`"),
        ('[images."a/b"]\ncommand = ["x"]\nenv = {A = 1}\n', 'lab.toml:3: images."a/b".env.A: Expected `str`'),
        (
            "[[host_ports]]\nnamespace='a'\nservice='b'\nport=1\nhost_port=2\n[[host_ports]]\nnamespace='a'\nport='x'\n",
            "lab.toml:8: host_ports[1].port: Expected `int`",
        ),
        (
            "[internet.hosts.'a.example']\nserves='page'\n[internet.hosts.'b.example']\nserves='pages'\n",
            "lab.toml:4: internet.hosts.\"b.example\".serves: Invalid enum value 'pages'; there are files, ",
        ),
        ("[internet.hosts]\n'a b' = {}\n", 'lab.toml:2: internet.hosts."a b": Expected `str` matching regex'),
        ("[ports]\nhttp = 1\nhttps = 1\n", "lab.toml:3: ports.https: ports.http asks for port 1, too"),
        ("[istio]\nversion = '1.2.3'\n", "lab.toml:2: istio.version: 1.2.3 is too old"),
        ("cluster = 'kind'\nmesh.profile = 'demo'\n", "lab.toml:2: mesh.profile: demo is for the embedded cluster"),
        ("[[host_ports]]\nnamespace='a'\n", "lab.toml:1: host_ports[0]: Object missing required field `service`"),
        ("name = \n", "lab.toml is not TOML: Invalid value (at line 1, column 8)"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_field(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(LabError) as failure:
        lab_of(tmp_path, text)
    assert told in failure.value.message
    assert str(tmp_path) in failure.value.message


@pytest.mark.parametrize("value", ["http", "70000", "-1", "8080 ", "٣"])
def test_a_variable_that_is_no_port_is_told(tmp_path: Path, value: str) -> None:
    with pytest.raises(LabError, match=r"MESH_LAB_HTTP_PORT: .* is not a port") as failure:
        lab_of(tmp_path, MESH_LAB_HTTP_PORT=value)
    assert failure.value.exit_code == 2


@pytest.mark.parametrize("name", ["Lab", "-lab", "lab-", "a_b", "a" * 33, "../x"])
def test_a_name_that_no_node_could_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LabError, match="cannot be a lab's name"):
        load(tmp_path, {}, name=name)


def test_an_unknown_cluster_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="unknown cluster 'moon'") as failure:
        load(tmp_path, {}, cluster="moon")
    assert "embedded" in failure.value.hint


def test_two_uses_of_one_port_are_refused(tmp_path: Path) -> None:
    text = "[[host_ports]]\nnamespace='a'\nservice='b'\nport=1\nhost_port=8080\n"
    with pytest.raises(LabError, match=r"lab\.toml:5: host_ports\[0\]\.host_port: ports\.http asks for port 8080, too"):
        lab_of(tmp_path, text)
    assert lab_of(tmp_path, "[ports]\napi = 0\nhttp = 0\nhttps = 0\n").settings.ports == Ports(0, 0, 0)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(LabError, match=r"cannot read .*lab\.toml"):
        lab_of(tmp_path)


def test_the_directory_is_the_nearest_with_a_file(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_directory(below) == below
    (tmp_path / "lab.toml").touch()
    assert find_directory(below) == tmp_path


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet='[]."=\n# abports1x-_{}', max_size=60))
def test_whatever_the_file_says_the_answer_is_a_lab_or_a_message(tmp_path: Path, text: str) -> None:
    (tmp_path / "lab.toml").write_text(text)
    message = ""
    try:
        load(tmp_path, {})
    except LabError as error:
        message = error.message
    assert not message or "lab.toml" in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('cluster = "moon"', "lab.toml:1: cluster: Invalid enum value 'moon'; there are embedded, existing, kind"),
        (
            '[mesh]\ndialects = ["istio", "smi"]',
            "lab.toml:2: mesh.dialects[1]: Invalid enum value 'smi'; there are consul, gateway, istio",
        ),
        (
            '[mesh]\ndialects = ["consul"]',
            "lab.toml:2: mesh.dialects: `istio` is missing: the settings of the mesh are in its words only",
        ),
        ('[mesh]\ndialects = ["istio", "istio"]', "lab.toml:2: mesh.dialects: a name is there twice"),
        ("[port]\napi = 1", "lab.toml:1: port: no such setting; is it ports?"),
        ("[ports]\ngrpc = 1", "lab.toml:2: ports.grpc: no such setting; there are api, http, https, tcp"),
        (
            '[images.a]\ncommand = ["a"]\nuid = 1',
            "lab.toml:3: images.a.uid: no such setting; there are command, args, env, user, path, python",
        ),
        ("[[host_ports]]\nhostport = 1", "lab.toml:2: host_ports[0].hostport: no such setting; is it host_port?"),
    ],
)
def test_a_setting_that_there_is_not_comes_with_those_that_there_are(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "lab.toml").write_text(text)
    with pytest.raises(LabError) as failure:
        load(tmp_path, {})
    assert failure.value.message == f"{tmp_path}/{told}"


def test_what_cannot_be_read_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").mkdir()
    with pytest.raises(LabError) as failure:
        load(tmp_path, {})
    assert failure.value.message == f"cannot read {tmp_path}/lab.toml: Is a directory"
