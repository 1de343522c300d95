using System.Text;
using Archipelago.Messaging;
using Archipelago.Testing;

namespace Archipelago.Nats.Tests;

/// <summary>Buckets on a real server with JetStream.</summary>
public sealed class KeyValueTests : IAsyncLifetime
{
    private NatsServer server = null!;
    private NatsConnection connection = null!;

    public async Task InitializeAsync()
    {
        server = await NatsServer.StartAsync(arguments: "-js -sd {folder}");
        connection = await ConnectAsync();
    }

    public async Task DisposeAsync()
    {
        await connection.DisposeAsync();
        await server.DisposeAsync();
    }

    private Task<NatsConnection> ConnectAsync() => NatsConnection.ConnectAsync(new NatsOptions { Servers = [server.Url] });

    /// <summary>JetStream is there a moment after the server is.</summary>
    private static async Task<NatsKeyValue> OpenAsync(NatsConnection connection, NatsKeyValueOptions? options = null)
    {
        NatsKeyValue? bucket = null;
        await Eventually.TrueAsync(async () =>
        {
            try
            {
                bucket = await NatsKeyValue.OpenAsync(connection, options ?? new NatsKeyValueOptions("realm") { Timeout = TimeSpan.FromSeconds(20) });
                return true;
            }
            catch (NatsJetStreamException e) when (e.Code == 0)
            {
                return false;
            }
        });
        return bucket!;
    }

    private static string Text(NatsKeyValueEntry? entry) => entry is null ? "nothing" : Encoding.UTF8.GetString(entry.Value);

    [Fact]
    public async Task What_is_written_is_read_and_every_write_has_a_larger_revision()
    {
        NatsKeyValue bucket = await OpenAsync(connection);
        Assert.Null(await bucket.GetAsync("leader"));
        long first = await bucket.PutAsync("leader", "ann"u8.ToArray()), other = await bucket.PutAsync("other.thing", Array.Empty<byte>()), second = await bucket.PutAsync("leader", new byte[] { 0, 255, 10, 13 });
        Assert.True(0 < first && first < other && other < second);
        NatsKeyValueEntry entry = (await bucket.GetAsync("leader"))!;
        Assert.Equal(("leader", second), (entry.Key, entry.Revision));
        Assert.Equal([0, 255, 10, 13], entry.Value);
        Assert.InRange(entry.Created, TimeProvider.System.GetUtcNow().AddMinutes(-5), TimeProvider.System.GetUtcNow().AddMinutes(5));
        Assert.Empty((await bucket.GetAsync("other.thing"))!.Value);
        // Whoever opens it again, with whatever options, finds what is there.
        await using NatsConnection another = await ConnectAsync();
        NatsKeyValue same = await OpenAsync(another, new NatsKeyValueOptions("realm") { MaxAge = TimeSpan.FromHours(1), InMemory = true, Timeout = TimeSpan.FromSeconds(20) });
        Assert.Equal(second, (await same.GetAsync("leader"))!.Revision);
    }

    [Fact]
    public async Task A_write_may_depend_on_what_is_there()
    {
        NatsKeyValue bucket = await OpenAsync(connection);
        long? first = await bucket.TryUpdateAsync("leader", "ann"u8.ToArray(), 0);
        Assert.NotNull(first);
        Assert.Null(await bucket.TryUpdateAsync("leader", "bob"u8.ToArray(), 0));
        Assert.Null(await bucket.TryUpdateAsync("leader", "bob"u8.ToArray(), first.Value + 1));
        Assert.Equal("ann", Text(await bucket.GetAsync("leader")));
        long? second = await bucket.TryUpdateAsync("leader", "bob"u8.ToArray(), first.Value);
        Assert.True(second > first);
        Assert.Null(await bucket.TryUpdateAsync("leader", "eve"u8.ToArray(), first.Value));
        Assert.Equal("bob", Text(await bucket.GetAsync("leader")));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => bucket.TryUpdateAsync("leader", default, -1));
    }

    [Fact]
    public async Task Of_many_who_write_at_once_exactly_one_does()
    {
        NatsKeyValue bucket = await OpenAsync(connection);
        for (long revision = 0, round = 0; round < 10; round++)
        {
            long?[] revisions = await Task.WhenAll(Enumerable.Range(0, 12).Select(i => bucket.TryUpdateAsync("leader", Encoding.UTF8.GetBytes($"{i}"), revision)));
            revision = Assert.Single(revisions, r => r is not null)!.Value;
            Assert.Equal(Array.IndexOf(revisions, revision).ToString(System.Globalization.CultureInfo.InvariantCulture), Text(await bucket.GetAsync("leader")));
        }
    }

    [Fact]
    public async Task What_others_have_deleted_is_not_there_and_may_be_made_again()
    {
        NatsKeyValue bucket = await OpenAsync(connection);
        await bucket.PutAsync("leader", "ann"u8.ToArray());
        await connection.PublishAsync("$KV.realm.leader", default, headers: BusHeaders.Of("KV-Operation", "DEL"));
        await Eventually.TrueAsync(async () => await bucket.GetAsync("leader") is null);
        Assert.NotNull(await bucket.TryUpdateAsync("leader", "bob"u8.ToArray(), 0));
        Assert.Equal("bob", Text(await bucket.GetAsync("leader")));
        Assert.Null(await bucket.TryUpdateAsync("leader", "eve"u8.ToArray(), 0));
    }

    [Fact]
    public async Task It_outlives_the_server_and_nothing_is_written_behind_ones_back_while_that_is_away()
    {
        NatsKeyValue bucket = await OpenAsync(connection);
        long written = await bucket.PutAsync("leader", "ann"u8.ToArray());
        await server.KillAsync();
        await Eventually.TrueAsync(() => Task.FromResult(connection.State != NatsState.Connected));
        NatsException e = await Assert.ThrowsAsync<NatsException>(() => bucket.PutAsync("leader", "eve"u8.ToArray()));
        Assert.Contains("realm is out of reach", e.Message, StringComparison.Ordinal);
        await server.StartAgainAsync();
        await connection.WaitUntilConnectedAsync();
        NatsKeyValueEntry? entry = null;
        await Eventually.TrueAsync(async () =>
        {
            try
            {
                return (entry = await bucket.GetAsync("leader")) is not null;
            }
            catch (NatsJetStreamException)
            {
                return false;
            }
        });
        Assert.Equal(("ann", written), (Text(entry), entry!.Revision));
        Assert.NotNull(await bucket.TryUpdateAsync("leader", "bob"u8.ToArray(), written));
    }

    [Fact]
    public async Task Entries_are_forgotten_after_their_time()
    {
        NatsKeyValue bucket = await OpenAsync(connection, new NatsKeyValueOptions("short") { MaxAge = TimeSpan.FromMilliseconds(300), InMemory = true, Timeout = TimeSpan.FromSeconds(20) });
        await bucket.PutAsync("leader", "ann"u8.ToArray());
        await Eventually.TrueAsync(async () => await bucket.GetAsync("leader") is null);
        Assert.NotNull(await bucket.TryUpdateAsync("leader", "bob"u8.ToArray(), 0));
    }

    [Fact]
    public async Task Without_JetStream_it_is_said_what_is_missing()
    {
        await using NatsServer plain = await NatsServer.StartAsync();
        await using NatsConnection other = await NatsConnection.ConnectAsync(new NatsOptions { Servers = [plain.Url] });
        NatsJetStreamException e = await Assert.ThrowsAsync<NatsJetStreamException>(() => NatsKeyValue.OpenAsync(other, new NatsKeyValueOptions("realm") { Timeout = TimeSpan.FromSeconds(20) }));
        Assert.Contains("nats-server -js", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_the_server_refuses_is_told_with_its_words()
    {
        _ = await OpenAsync(connection);
        // One server alone keeps no three copies.
        NatsJetStreamException e = await Assert.ThrowsAsync<NatsJetStreamException>(() =>
            NatsKeyValue.OpenAsync(connection, new NatsKeyValueOptions("three") { Replicas = 3, Cluster = "north", Tags = ["ssd"], Timeout = TimeSpan.FromSeconds(20) }));
        Assert.True(e.Code > 0);
        Assert.Contains("replicas", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("a b")]
    [InlineData("a.>")]
    [InlineData(".a")]
    [InlineData("a..b")]
    public async Task Names_that_would_be_something_else_are_refused(string name)
    {
        NatsKeyValue bucket = await OpenAsync(connection);
        await Assert.ThrowsAsync<ArgumentException>(() => bucket.GetAsync(name));
        await Assert.ThrowsAsync<ArgumentException>(() => bucket.PutAsync(name, default));
        await Assert.ThrowsAsync<ArgumentException>(() => NatsKeyValue.OpenAsync(connection, new NatsKeyValueOptions(name)));
        await Assert.ThrowsAsync<ArgumentException>(() => NatsKeyValue.OpenAsync(connection, new NatsKeyValueOptions("a") { Replicas = 6 }));
    }
}
