package cascade.tests;

import java.util.Map;
import java.util.function.Supplier;
import java.util.regex.Pattern;

import org.apache.lucene.analysis.Tokenizer;
import org.apache.lucene.analysis.core.KeywordTokenizer;
import org.apache.lucene.analysis.core.LetterTokenizer;
import org.apache.lucene.analysis.core.WhitespaceTokenizer;
import org.apache.lucene.analysis.pattern.PatternTokenizer;
import org.apache.lucene.util.AttributeFactory;
import org.elasticsearch.common.regex.Regex;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.index.analysis.TokenizerFactory;
import org.elasticsearch.indices.analysis.AnalysisModule.AnalysisProvider;

/** The tokenizers {@code keyword}, {@code letter}, {@code pattern} and {@code whitespace}. */
final class Tokenizers {
    private interface Maker {
        Supplier<Tokenizer> read(Settings settings);
    }

    private Tokenizers() {}

    static Map<String, AnalysisProvider<TokenizerFactory>> all() {
        return Map.of(
            "keyword", provider(settings -> {
                int buffer = settings.getAsInt("buffer_size", 256);
                return () -> new KeywordTokenizer(buffer);
            }),
            "letter", provider(settings -> LetterTokenizer::new),
            "pattern", provider(Tokenizers::pattern),
            "whitespace", provider(settings -> {
                int longest = settings.getAsInt("max_token_length", 255);
                return () -> new WhitespaceTokenizer(
                    AttributeFactory.DEFAULT_ATTRIBUTE_FACTORY, longest);
            }));
    }

    private static AnalysisProvider<TokenizerFactory> provider(Maker maker) {
        return (index, environment, name, settings) ->
            TokenizerFactory.newFactory(name, maker.read(settings));
    }

    private static Supplier<Tokenizer> pattern(Settings settings) {
        Pattern pattern = Regex.compile(settings.get("pattern", "\\W+"), settings.get("flags"));
        int group = settings.getAsInt("group", -1);
        return () -> new PatternTokenizer(pattern, group);
    }
}
