namespace Archipelago.Protocol.Tests;

public class NamesTests
{
    [Theory]
    [InlineData(1, "I1")]
    [InlineData(9, "I9")]
    [InlineData(10, "Ia")]
    [InlineData(35, "Iz")]
    [InlineData(36, "I10")]
    [InlineData(46655, "Izzz")]
    public void Islands_are_numbered_in_base_36(long number, string id)
    {
        var names = new IslandNames("");
        Assert.Equal(id, names.Format(number));
        Assert.True(names.TryParse(id, out long parsed));
        Assert.Equal(number, parsed);
    }

    [Theory]
    [InlineData("I")]
    [InlineData("I0")]
    [InlineData("I01")]
    [InlineData("IA")]
    [InlineData("J1")]
    [InlineData("I-1")]
    [InlineData("Izzzzzzzzzzzzz")]
    public void Other_texts_are_no_ids(string text) => Assert.False(new IslandNames(null).TryParse(text, out _));

    [Fact]
    public void The_prefix_is_configurable()
    {
        var names = new IslandNames("island-ea-");
        Assert.Equal("island-ea-8ep", names.Format(10897));
        Assert.True(names.TryParse("island-ea-8ep", out long number));
        Assert.Equal(10897, number);
    }

    [Theory]
    [InlineData("peer.0xab.heartbeat", "0xab")]
    [InlineData("peer..heartbeat", null)]
    [InlineData("peer.0xab", null)]
    [InlineData("engine.peer.0xab.island_changed", null)]
    public void The_address_is_cut_from_the_subject(string subject, string? address)
    {
        bool found = Subjects.TryGetPeer(System.Text.Encoding.UTF8.GetBytes(subject), out ReadOnlySpan<byte> token);
        Assert.Equal(address is not null, found);
        Assert.Equal(address ?? "", Subjects.Text(token));
    }

    [Fact]
    public void Patterns_and_subjects_belong_together()
    {
        Assert.Equal(Subjects.AllHeartbeats, Subjects.Heartbeat("*"));
        Assert.Equal(Subjects.AllDisconnects, Subjects.Disconnect("*"));
        Assert.Equal(Subjects.AllIslandChanges, Subjects.IslandChanged("*"));
        Assert.True(Subjects.TryGetEnginePeer("engine.peer.0xab.island_changed"u8, out ReadOnlySpan<byte> address));
        Assert.Equal("0xab", Subjects.Text(address));
    }
}
