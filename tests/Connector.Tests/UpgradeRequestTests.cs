using System.Buffers;
using System.Net;
using System.Text;

namespace Archipelago.Connector.Tests;

/// <summary>Which requests are taken below the web server, and what is believed of where they come from.</summary>
public class UpgradeRequestTests
{
    private const string Plain =
        "GET /ws HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    private static Opening Read(string text, out UpgradeRequest? request) => UpgradeRequest.TryRead(new ReadOnlySequence<byte>(Encoding.Latin1.GetBytes(text)), out request, out _);

    [Fact]
    public void A_plain_request_is_an_upgrade_once_it_is_whole_and_what_follows_is_left()
    {
        byte[] bytes = [.. Encoding.ASCII.GetBytes(Plain), 1, 2, 3];
        for (int length = 0; length < Plain.Length; length++)
            Assert.Equal(Opening.NeedsMore, UpgradeRequest.TryRead(new ReadOnlySequence<byte>(bytes, 0, length), out _, out _));
        var all = new ReadOnlySequence<byte>(bytes);
        Assert.Equal(Opening.Upgrade, UpgradeRequest.TryRead(all, out UpgradeRequest? request, out SequencePosition end));
        Assert.Equal(3, all.Slice(end).Length);
        Assert.Null(request!.Protocol);
        // The example of RFC 6455, §1.3.
        Assert.Contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", Encoding.ASCII.GetString(request.Answer()), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("GET /ws ", "GET /WS/ ")]
    [InlineData("GET /ws ", "GET /ws?intent=dclexplorer ")]
    [InlineData("Host: here", "hOST:here")]
    [InlineData("Upgrade: websocket", "UPGRADE: WebSocket")]
    [InlineData("Host: here", "Host: here\r\nOrigin: https://play.example\r\nUser-Agent: x/1 (y; z)")]
    public void The_same_said_otherwise_is_an_upgrade_too(string part, string instead) =>
        Assert.Equal(Opening.Upgrade, Read(Plain.Replace(part, instead, StringComparison.Ordinal), out _));

    [Theory]
    [InlineData("GET /ws ", "POST /ws ")]
    [InlineData("GET /ws ", "get /ws ")]
    [InlineData("GET /ws ", "GET /wss ")]
    [InlineData("GET /ws ", "GET /status ")]
    [InlineData("GET /ws ", "GET /w%73 ")]
    [InlineData("HTTP/1.1", "HTTP/1.0")]
    [InlineData("Host: here\r\n", "")]
    [InlineData("Host: here", "Host: here\r\nHost: there")]
    [InlineData("Upgrade: websocket", "Upgrade: h2c")]
    [InlineData("Connection: keep-alive, Upgrade", "Connection: keep-alive")]
    [InlineData("Version: 13", "Version: 8")]
    [InlineData("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ==")]
    [InlineData("dGhlIHNhbXBsZSBub25jZQ==", "!!!!!!!!!!!!!!!!!!!!!!==")]
    [InlineData("Host: here", "Host: here\r\nContent-Length: 5")]
    [InlineData("Host: here", "Host: here\r\nTransfer-Encoding: chunked")]
    [InlineData("Host: here", "Host : here")]
    [InlineData("Host: here", "Host: here\r\n folded")]
    [InlineData("Host: here", "Host: here\r\nX: \u00e4")]
    [InlineData("Host: here", "Host: here\r\nX: \t")]
    [InlineData("Host: here", "Host: here\r\nno colon")]
    public void Whatever_is_unusual_goes_the_ordinary_way(string part, string instead) =>
        Assert.Equal(Opening.Other, Read(Plain.Replace(part, instead, StringComparison.Ordinal), out _));

    [Fact]
    public void A_head_without_end_goes_the_ordinary_way()
    {
        Assert.Equal(Opening.NeedsMore, Read("GET /ws HTTP/1.1\r\nX: " + new string('x', 4000), out _));
        Assert.Equal(Opening.Other, Read("GET /ws HTTP/1.1\r\nX: " + new string('x', 9000), out _));
    }

    [Theory]
    [InlineData("archipelago", "archipelago")]
    [InlineData("first, second", "first")]
    [InlineData(" padded ,x", "padded")]
    [InlineData("a b", null)]
    [InlineData(",x", null)]
    [InlineData("", null)]
    [InlineData("a\u00e4", null)]
    public void The_first_protocol_is_told_back_when_it_can_be(string offered, string? first) => Assert.Equal(first, UpgradeRequest.FirstProtocol(offered));

    [Fact]
    public void No_bytes_make_it_throw_and_none_that_are_not_a_request_are_taken_for_one()
    {
        var random = new Random(7);
        for (int i = 0; i < 300_000; i++)
        {
            byte[] bytes = Encoding.ASCII.GetBytes(Plain);
            for (int changes = random.Next(1, 4); changes > 0; changes--)
                bytes[random.Next(bytes.Length)] = random.Next(3) == 0 ? (byte)random.Next(256) : (byte)"\r\n :,/"[random.Next(6)];
            if (UpgradeRequest.TryRead(new ReadOnlySequence<byte>(bytes), out UpgradeRequest? request, out _) != Opening.Upgrade)
                continue;
            Assert.True(UpgradeRequest.IsKey(request!.Key));
            Assert.DoesNotContain('\n', Encoding.ASCII.GetString(request.Answer()).Replace("\r\n", "", StringComparison.Ordinal));
        }
    }

    private static readonly ClientAddress Behind = new([IPNetwork.Parse("10.0.0.0/8"), IPNetwork.Parse("fd00::/8")]);

    [Theory]
    [InlineData("203.0.113.7", "", "203.0.113.7")]
    [InlineData("203.0.113.7", "198.51.100.1", "203.0.113.7")] // anybody may say anything
    [InlineData("10.1.2.3", "198.51.100.1", "198.51.100.1")]
    [InlineData("::ffff:10.1.2.3", "198.51.100.1", "198.51.100.1")]
    [InlineData("10.1.2.3", "192.0.2.66, 198.51.100.1", "198.51.100.1")] // what came from outside is a claim
    [InlineData("10.1.2.3", "192.0.2.66,198.51.100.1, 10.9.9.9", "198.51.100.1")]
    [InlineData("10.1.2.3", "198.51.100.1:4711", "198.51.100.1")]
    [InlineData("fd00::1", "2001:db8::5", "2001:db8::5")]
    [InlineData("10.1.2.3", "[2001:db8::5]:80", "2001:db8::5")]
    [InlineData("10.1.2.3", "unknown", "10.1.2.3")]
    [InlineData("10.1.2.3", "", "10.1.2.3")]
    [InlineData("10.1.2.3", "10.4.4.4,10.5.5.5", "10.4.4.4")]
    public void Where_a_client_comes_from_is_believed_as_far_as_its_proxies_are(string peer, string forwarded, string from) =>
        Assert.Equal(IPAddress.Parse(from), Behind.Of(IPAddress.Parse(peer), forwarded));

    [Theory]
    [InlineData("127.0.0.1", true)]
    [InlineData("::1", true)]
    [InlineData("::ffff:127.0.0.9", true)]
    [InlineData("10.1.1.1", true)]
    [InlineData("::ffff:10.1.1.1", true)]
    [InlineData("203.0.113.7", false)]
    public void Loopback_and_trusted_proxies_are_nobody(string address, bool anonymous) => Assert.Equal(anonymous, Behind.IsAnonymous(IPAddress.Parse(address)));
}
