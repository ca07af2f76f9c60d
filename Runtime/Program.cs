System.Console.WriteLine("holdfast");
