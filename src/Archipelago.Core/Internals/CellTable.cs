using System.Numerics;
using System.Runtime.CompilerServices;

namespace Archipelago.Core.Internals;

/// <summary>
/// Points sorted into hashed cells of the ground, made from nothing each time in three passes. Cells that share a hash share a bucket, so who looks into one compares
/// distances anyway. One thread at a time.
/// </summary>
internal sealed class CellTable
{
    private const int FarthestCell = 1 << 28;

    private int[] starts = new int[2];
    private int[] order = [];
    private int[] bucketOf = [];
    private int bits;
    private double perMetre;

    /// <summary>Buckets of the table.</summary>
    public int Buckets => 1 << bits;

    /// <summary>Sorts these points into cells of this side (metres). Points of one bucket keep their order.</summary>
    public void Build(ReadOnlySpan<Point> points, double side)
    {
        perMetre = 1 / side;
        bits = Math.Clamp(BitOperations.Log2((uint)Math.Max(points.Length, 1)) + 1, 4, 26);
        if (starts.Length < Buckets + 1)
            starts = new int[Buckets + 1];
        if (order.Length < points.Length)
        {
            order = new int[Growth.From(order.Length, points.Length)];
            bucketOf = new int[order.Length];
        }
        Span<int> ends = starts.AsSpan(0, Buckets + 1);
        ends.Clear();
        for (int i = 0; i < points.Length; i++)
        {
            int bucket = Bucket(Coordinate(points[i].X), Coordinate(points[i].Z));
            bucketOf[i] = bucket;
            ends[bucket + 1]++;
        }
        for (int bucket = 0; bucket < Buckets; bucket++)
            ends[bucket + 1] += ends[bucket];
        for (int i = points.Length - 1; i >= 0; i--)
            order[--ends[bucketOf[i] + 1]] = i;
        // What was counted down are the beginnings, one place too far.
        ends[1..].CopyTo(ends);
        ends[Buckets] = points.Length;
    }

    /// <summary>The points of all buckets, bucket by bucket, by their numbers in the span given to <see cref="Build"/>.</summary>
    public ReadOnlySpan<int> Order(int points) => order.AsSpan(0, points);

    /// <summary>Where a bucket's points begin in <see cref="Order"/>, and where they end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public (int Start, int End) Range(int bucket) => (starts[bucket], starts[bucket + 1]);

    /// <summary>The bucket of a cell.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Bucket(int column, int row) => Bucket(column, row, bits);

    /// <summary>
    /// The bucket of a cell, of 2 to the <paramref name="bits"/>. A row's cells lie side by side, so that three neighbours are one look into memory; and rows begin as far from each
    /// other as can be (Knuth's multiplicative hashing), so that few of a compact world's share a bucket.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Bucket(int column, int row, int bits) => ((int)((uint)row * 0x9E3779B9u >> (32 - bits)) + column) & ((1 << bits) - 1);

    /// <summary>The cell's column or row of a coordinate. Saturates far out, where neighbouring floats are cells apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Coordinate(float metres) => (int)Math.Clamp(Math.Floor(metres * perMetre), -FarthestCell, FarthestCell);
}
