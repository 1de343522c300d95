namespace Archipelago.Core.Internals;

/// <summary>Those who stand in one square: a range of the list that was sorted by square.</summary>
internal readonly record struct Square(ulong Key, int Start, int End);

/// <summary>Takes the pairs that <see cref="SquareGrid.VisitPairs"/> finds.</summary>
internal interface ISquarePairVisitor
{
    void Visit(in Square a, in Square b);
}

/// <summary>Occupied squares of <see cref="Cells"/> in the order of their keys, and the pairs of them that are near each other.</summary>
internal sealed class SquareGrid
{
    private readonly Pool<Square> squares = new();

    public Span<Square> Squares => squares.Span;

    public void Release() => squares.Release();

    /// <summary>Cuts sorted keys into squares.</summary>
    public void Cut(ReadOnlySpan<ulong> keys)
    {
        squares.Clear();
        for (int start = 0; start < keys.Length;)
        {
            int end = start + 1;
            while (end < keys.Length && keys[end] == keys[start])
                end++;
            squares.Add(new Square(keys[start], start, end));
            start = end;
        }
    }

    /// <summary>
    /// Visits each pair of different squares of which one is in the other's 5×5 window, once; the one with the lower key comes first. One pointer a row
    /// of the window moves forward with the square that is looked from, so nothing is searched.
    /// </summary>
    public void VisitPairs<TVisitor>(ref TVisitor visitor)
        where TVisitor : struct, ISquarePairVisitor, allows ref struct
    {
        ReadOnlySpan<Square> all = squares.Span;
        Span<int> pointer = [0, 0, 0];
        for (int s = 0; s < all.Length; s++)
        {
            int column = Cells.Column(all[s].Key), row = Cells.Row(all[s].Key);
            for (int d = 0; d <= Cells.Reach; d++)
            {
                ulong from = Cells.Key(column - Cells.Reach, row + d), to = Cells.Key(column + Cells.Reach, row + d);
                int p = Math.Max(pointer[d], s + 1);
                while (p < all.Length && all[p].Key < from)
                    p++;
                pointer[d] = p;
                for (; p < all.Length && all[p].Key <= to; p++)
                    visitor.Visit(all[s], all[p]);
            }
        }
    }
}
