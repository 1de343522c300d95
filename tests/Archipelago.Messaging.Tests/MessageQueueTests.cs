using System.Text;
using Archipelago.Testing;

namespace Archipelago.Messaging.Tests;

public class MessageQueueTests
{
    private readonly List<string> consumed = [];
    private readonly SemaphoreSlim entered = new(0);
    private readonly SemaphoreSlim proceed = new(0);

    private static BusMessage Message(string subject, string payload) => new(Encoding.UTF8.GetBytes(subject), Encoding.UTF8.GetBytes(payload));

    /// <summary>A consumer that takes each message only when the test says so.</summary>
    private MessageQueue Open(int capacity, FullQueue policy) => new(capacity, policy, m =>
    {
        string text = $"{Encoding.UTF8.GetString(m.Subject)}={Encoding.UTF8.GetString(m.Payload)}";
        entered.Release();
        proceed.Wait(TimeSpan.FromSeconds(20));
        lock (consumed)
            consumed.Add(text);
    });

    private async Task<string> ConsumedAsync(int count)
    {
        proceed.Release(100);
        await Eventually.TrueAsync(() =>
        {
            lock (consumed)
                return consumed.Count >= count;
        });
        lock (consumed)
            return string.Join(' ', consumed);
    }

    [Theory]
    [InlineData(FullQueue.DropOldest, "a=0 a=3 a=4", 2)]
    [InlineData(FullQueue.DropNewest, "a=0 a=1 a=2", 2)]
    [InlineData(FullQueue.KeepLatestBySubject, "a=0 a=4", 0)]
    public async Task A_full_queue_does_what_its_policy_says_and_counts_it(FullQueue policy, string expected, int dropped)
    {
        await using MessageQueue queue = Open(2, policy);
        queue.Post(Message("a", "0"));
        await entered.WaitAsync();
        for (int i = 1; i < 5; i++)
            queue.Post(Message("a", $"{i}"));
        Assert.Equal(expected, await ConsumedAsync(expected.Split(' ').Length));
        Assert.Equal(dropped, queue.Dropped);
        Assert.Equal(policy == FullQueue.KeepLatestBySubject ? 3 : 0, queue.Replaced);
        Assert.Equal(0, queue.Count);
    }

    [Fact]
    public async Task The_latest_of_each_subject_waits_in_the_place_of_the_first_and_the_oldest_goes_when_there_are_too_many()
    {
        await using MessageQueue queue = Open(2, FullQueue.KeepLatestBySubject);
        queue.Post(Message("x", "0"));
        await entered.WaitAsync();
        foreach ((string subject, string payload) in ((string, string)[])[("a", "1"), ("b", "1"), ("a", "2"), ("c", "1"), ("b", "2"), ("a", "3")])
            queue.Post(Message(subject, payload));
        Assert.Equal("x=0 c=1 a=3", await ConsumedAsync(3));
        Assert.Equal(2, queue.Replaced);
        Assert.Equal(2, queue.Dropped);
    }

    [Fact]
    public async Task A_blocking_queue_loses_nothing()
    {
        await using MessageQueue queue = Open(3, FullQueue.Block);
        Task posting = Task.Run(() =>
        {
            for (int i = 0; i < 50; i++)
                queue.Post(Message("a", $"{i}"));
        });
        await Eventually.TrueAsync(() => queue.Count == 3);
        Assert.False(posting.IsCompleted);
        Assert.Equal(string.Join(' ', Enumerable.Range(0, 50).Select(i => $"a={i}")), await ConsumedAsync(50));
        await posting;
        Assert.Equal(0, queue.Dropped);
    }

    [Fact]
    public async Task Disposing_frees_who_is_blocked_and_counts_what_waited()
    {
        MessageQueue queue = Open(1, FullQueue.Block);
        queue.Post(Message("a", "0"));
        await entered.WaitAsync();
        queue.Post(Message("a", "1"));
        Task posting = Task.Run(() => queue.Post(Message("a", "2")));
        ValueTask disposal = queue.DisposeAsync();
        await posting;
        proceed.Release(10);
        await disposal;
        queue.Post(Message("a", "3"));
        Assert.Equal(3, queue.Dropped);
        Assert.Equal(0, queue.Count);
    }

    [Fact]
    public async Task A_consumer_that_throws_is_counted_and_goes_on()
    {
        var told = new List<Exception>();
        int heard = 0;
        await using var queue = new MessageQueue(10, FullQueue.DropNewest, _ => throw new InvalidOperationException($"{++heard}"), told.Add);
        queue.Post(Message("a", ""));
        queue.Post(Message("a", ""));
        await Eventually.TrueAsync(() => queue.ConsumerErrors == 2);
        Assert.Equal(["1", "2"], told.Select(e => e.Message));
    }

    [Fact]
    public async Task Posting_and_consuming_allocate_nothing()
    {
        long heard = 0;
        await using var queue = new MessageQueue(64, FullQueue.DropNewest, _ => Interlocked.Increment(ref heard));
        byte[] subject = "peer.0x1.heartbeat"u8.ToArray(), payload = new byte[34];
        long least = long.MaxValue;
        // The runtime compiles and other tests run meanwhile; the least of some rounds is the queue's own.
        for (int round = 0; round < 50 && least > 0; round++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 1000; i++)
                queue.Post(new BusMessage(subject, payload));
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }
        Assert.Equal(0, least);
        await Eventually.TrueAsync(() => Interlocked.Read(ref heard) > 0);
    }
}
