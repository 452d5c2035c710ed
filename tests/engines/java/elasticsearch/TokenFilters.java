package cascade.tests;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.UnaryOperator;
import java.util.regex.Pattern;

import org.apache.lucene.analysis.CharArraySet;
import org.apache.lucene.analysis.LowerCaseFilter;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.compound.DictionaryCompoundWordTokenFilter;
import org.apache.lucene.analysis.core.FlattenGraphFilter;
import org.apache.lucene.analysis.core.UpperCaseFilter;
import org.apache.lucene.analysis.de.GermanLightStemFilter;
import org.apache.lucene.analysis.de.GermanMinimalStemFilter;
import org.apache.lucene.analysis.de.GermanNormalizationFilter;
import org.apache.lucene.analysis.en.EnglishMinimalStemFilter;
import org.apache.lucene.analysis.en.EnglishPossessiveFilter;
import org.apache.lucene.analysis.en.KStemFilter;
import org.apache.lucene.analysis.en.PorterStemFilter;
import org.apache.lucene.analysis.es.SpanishLightStemFilter;
import org.apache.lucene.analysis.fr.FrenchAnalyzer;
import org.apache.lucene.analysis.fr.FrenchLightStemFilter;
import org.apache.lucene.analysis.it.ItalianLightStemFilter;
import org.apache.lucene.analysis.miscellaneous.ASCIIFoldingFilter;
import org.apache.lucene.analysis.miscellaneous.KeywordRepeatFilter;
import org.apache.lucene.analysis.miscellaneous.LengthFilter;
import org.apache.lucene.analysis.miscellaneous.LimitTokenCountFilter;
import org.apache.lucene.analysis.miscellaneous.RemoveDuplicatesTokenFilter;
import org.apache.lucene.analysis.miscellaneous.SetKeywordMarkerFilter;
import org.apache.lucene.analysis.miscellaneous.StemmerOverrideFilter;
import org.apache.lucene.analysis.miscellaneous.TrimFilter;
import org.apache.lucene.analysis.miscellaneous.TruncateTokenFilter;
import org.apache.lucene.analysis.ngram.EdgeNGramTokenFilter;
import org.apache.lucene.analysis.ngram.NGramTokenFilter;
import org.apache.lucene.analysis.pattern.PatternReplaceFilter;
import org.apache.lucene.analysis.reverse.ReverseStringFilter;
import org.apache.lucene.analysis.snowball.SnowballFilter;
import org.apache.lucene.analysis.util.ElisionFilter;
import org.apache.lucene.util.Version;
import org.elasticsearch.common.regex.Regex;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.index.analysis.Analysis;
import org.elasticsearch.index.analysis.NormalizingTokenFilterFactory;
import org.elasticsearch.index.analysis.TokenFilterFactory;
import org.elasticsearch.indices.analysis.AnalysisModule.AnalysisProvider;
import org.elasticsearch.plugins.AnalysisPlugin;

/** The token filters by name; defaults are those of the complete distribution. */
final class TokenFilters {
    private interface Maker {
        UnaryOperator<TokenStream> read(Environment environment, Settings settings);
    }

    private static final Map<String, UnaryOperator<TokenStream>> STEMMERS = Map.ofEntries(
        Map.entry("english", PorterStemFilter::new),
        Map.entry("porter", PorterStemFilter::new),
        Map.entry("porter2", stream -> new SnowballFilter(stream, "English")),
        Map.entry("light_english", KStemFilter::new),
        Map.entry("kstem", KStemFilter::new),
        Map.entry("minimal_english", EnglishMinimalStemFilter::new),
        Map.entry("possessive_english", EnglishPossessiveFilter::new),
        Map.entry("german2", stream -> new SnowballFilter(stream, snowball("German2"))),
        Map.entry("light_german", GermanLightStemFilter::new),
        Map.entry("minimal_german", GermanMinimalStemFilter::new),
        Map.entry("light_french", FrenchLightStemFilter::new),
        Map.entry("light_italian", ItalianLightStemFilter::new),
        Map.entry("light_spanish", SpanishLightStemFilter::new));

    private TokenFilters() {}

    static Map<String, AnalysisProvider<TokenFilterFactory>> all() {
        Map<String, AnalysisProvider<TokenFilterFactory>> all = new HashMap<>();
        putWithoutSettings(all);
        putWithDefaults(all);
        putWithSettings(all);
        all.put("synonym", AnalysisPlugin.requiresAnalysisSettings(
            (index, environment, name, settings) ->
                new SynonymFilterFactory(name, settings, false)));
        all.put("synonym_graph", AnalysisPlugin.requiresAnalysisSettings(
            (index, environment, name, settings) ->
                new SynonymFilterFactory(name, settings, true)));
        return all;
    }

    private static void putWithoutSettings(Map<String, AnalysisProvider<TokenFilterFactory>> all) {
        all.put("uppercase", normalizing((environment, settings) -> UpperCaseFilter::new));
        all.put("trim", normalizing((environment, settings) -> TrimFilter::new));
        all.put("german_normalization",
            normalizing((environment, settings) -> GermanNormalizationFilter::new));
        all.put("porter_stem", plain((environment, settings) -> PorterStemFilter::new));
        all.put("kstem", plain((environment, settings) -> KStemFilter::new));
        all.put("flatten_graph", plain((environment, settings) -> FlattenGraphFilter::new));
        all.put("reverse", plain((environment, settings) -> ReverseStringFilter::new));
        all.put("keyword_repeat", plain((environment, settings) -> KeywordRepeatFilter::new));
        all.put("remove_duplicates",
            plain((environment, settings) -> RemoveDuplicatesTokenFilter::new));
    }

    private static void putWithDefaults(Map<String, AnalysisProvider<TokenFilterFactory>> all) {
        all.put("lowercase", normalizing((environment, settings) -> lowercase(settings)));
        all.put("asciifolding", normalizing((environment, settings) -> {
            boolean keep = settings.getAsBoolean("preserve_original", false);
            return stream -> new ASCIIFoldingFilter(stream, keep);
        }));
        all.put("elision", normalizing(TokenFilters::elision));
        all.put("snowball", plain((environment, settings) -> {
            String language = snowball(settings.get("language", settings.get("name", "English")));
            return stream -> new SnowballFilter(stream, language);
        }));
        all.put("stemmer", plain((environment, settings) -> stemmer(settings)));
        all.put("length", plain((environment, settings) -> {
            int min = settings.getAsInt("min", 0);
            int max = settings.getAsInt("max", Integer.MAX_VALUE);
            return stream -> new LengthFilter(stream, min, max);
        }));
        all.put("limit", plain((environment, settings) -> {
            int count = settings.getAsInt("max_token_count", 1);
            boolean consume = settings.getAsBoolean("consume_all_tokens", false);
            return stream -> new LimitTokenCountFilter(stream, count, consume);
        }));
        all.put("edge_ngram", plain((environment, settings) -> {
            int min = settings.getAsInt("min_gram", 1);
            int max = settings.getAsInt("max_gram", 2);
            boolean keep = settings.getAsBoolean("preserve_original", false);
            return stream -> new EdgeNGramTokenFilter(stream, min, max, keep);
        }));
        all.put("ngram", plain((environment, settings) -> {
            int min = settings.getAsInt("min_gram", 1);
            int max = settings.getAsInt("max_gram", 2);
            boolean keep = settings.getAsBoolean("preserve_original", false);
            return stream -> new NGramTokenFilter(stream, min, max, keep);
        }));
        all.put("unique", plain((environment, settings) -> {
            boolean samePosition = settings.getAsBoolean("only_on_same_position", false);
            return stream -> new UniqueFilter(stream, samePosition);
        }));
    }

    private static void putWithSettings(Map<String, AnalysisProvider<TokenFilterFactory>> all) {
        all.put("truncate", AnalysisPlugin.requiresAnalysisSettings(plain(
            (environment, settings) -> {
                int length = settings.getAsInt("length", 10);
                return stream -> new TruncateTokenFilter(stream, length);
            })));
        all.put("pattern_replace", AnalysisPlugin.requiresAnalysisSettings(normalizing(
            (environment, settings) -> {
                Pattern pattern = Regex.compile(required(settings, "pattern"), settings.get("flags"));
                String replacement = settings.get("replacement", "");
                boolean every = settings.getAsBoolean("all", true);
                return stream -> new PatternReplaceFilter(stream, pattern, replacement, every);
            })));
        all.put("keyword_marker", AnalysisPlugin.requiresAnalysisSettings(plain(
            (environment, settings) -> {
                boolean fold = settings.getAsBoolean("ignore_case", false);
                CharArraySet words =
                    new CharArraySet(settings.getAsList("keywords"), fold);
                return stream -> new SetKeywordMarkerFilter(stream, words);
            })));
        all.put("stemmer_override", AnalysisPlugin.requiresAnalysisSettings(plain(
            (environment, settings) -> stemmerOverride(settings.getAsList("rules")))));
        all.put("dictionary_decompounder", AnalysisPlugin.requiresAnalysisSettings(plain(
            TokenFilters::decompounder)));
    }

    private static UnaryOperator<TokenStream> lowercase(Settings settings) {
        if (settings.get("language") != null) {
            throw new IllegalArgumentException(
                "the test distribution has no language-specific [lowercase] filter");
        }
        return LowerCaseFilter::new;
    }

    private static UnaryOperator<TokenStream> stemmer(Settings settings) {
        String language =
            settings.get("language", settings.get("name", "porter")).toLowerCase(Locale.ROOT);
        UnaryOperator<TokenStream> known = STEMMERS.get(language);
        return known != null ? known : stream -> new SnowballFilter(stream, snowball(language));
    }

    private static UnaryOperator<TokenStream> elision(Environment environment, Settings settings) {
        CharArraySet given = Analysis.parseArticles(environment, settings);
        CharArraySet articles = given != null ? given : FrenchAnalyzer.DEFAULT_ARTICLES;
        return stream -> new ElisionFilter(stream, articles);
    }

    private static UnaryOperator<TokenStream> decompounder(
            Environment environment, Settings settings) {
        CharArraySet words = Analysis.getWordSet(environment, settings, "word_list");
        if (words == null) {
            throw new IllegalArgumentException(
                "word_list must be provided for a dictionary_decompounder, either as"
                    + " word_list or word_list_path");
        }
        int minWord = settings.getAsInt("min_word_size", 5);
        int minPart = settings.getAsInt("min_subword_size", 2);
        int maxPart = settings.getAsInt("max_subword_size", 15);
        boolean longest = settings.getAsBoolean("only_longest_match", false);
        return stream -> new DictionaryCompoundWordTokenFilter(
            stream, words, minWord, minPart, maxPart, longest);
    }

    private static UnaryOperator<TokenStream> stemmerOverride(List<String> rules) {
        StemmerOverrideFilter.Builder builder = new StemmerOverrideFilter.Builder(false);
        for (String rule : rules) {
            String[] sides = rule.split("=>", -1);
            if (sides.length != 2) {
                throw new IllegalArgumentException("Invalid Keyword override Rule:" + rule);
            }
            for (String word : sides[0].split(",")) {
                builder.add(word.trim(), sides[1].trim());
            }
        }
        try {
            StemmerOverrideFilter.StemmerOverrideMap map = builder.build();
            return stream -> new StemmerOverrideFilter(stream, map);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String required(Settings settings, String key) {
        String value = settings.get(key);
        if (value == null) {
            throw new IllegalArgumentException("[" + key + "] is missing");
        }
        return value;
    }

    /** The name of a Snowball stemmer; Lucene 10 has merged German2 into German. */
    private static String snowball(String language) {
        String name = language.substring(0, 1).toUpperCase(Locale.ROOT) + language.substring(1);
        return name.equals("German2") && Version.LATEST.major >= 10 ? "German" : name;
    }

    private static AnalysisProvider<TokenFilterFactory> plain(Maker maker) {
        return (index, environment, name, settings) ->
            new Plain(name, maker.read(environment, settings));
    }

    private static AnalysisProvider<TokenFilterFactory> normalizing(Maker maker) {
        return (index, environment, name, settings) ->
            new Normalizing(name, maker.read(environment, settings));
    }

    private static class Plain implements TokenFilterFactory {
        private final String name;
        private final UnaryOperator<TokenStream> wrap;

        Plain(String name, UnaryOperator<TokenStream> wrap) {
            this.name = name;
            this.wrap = wrap;
        }

        @Override
        public String name() {
            return name;
        }

        @Override
        public TokenStream create(TokenStream stream) {
            return wrap.apply(stream);
        }
    }

    private static final class Normalizing extends Plain implements NormalizingTokenFilterFactory {
        Normalizing(String name, UnaryOperator<TokenStream> wrap) {
            super(name, wrap);
        }
    }
}
